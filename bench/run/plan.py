"""Plans: the cells of a study, with data loaded, sizes matched and settings checked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UserError, quoted
from bench.run.arms import check_sizes, matched_configs
from bench.run.cells import efficiency_cell, outside_cell, quality_cell, reference_cell
from bench.run.tuning import (
    Read,
    TunedArm,
    baseline_of,
    by_table,
    finished_figures,
    full_length_cells,
    model_part,
    never_finished,
    tuned_phases,
)
from bench.store.cells import Store
from bench.study.grid import Cell, Combination, Study
from bench.study.tuning import Key, Point, key_of, point_words

if TYPE_CHECKING:
    from architectures.catalog import ArmConfig
    from bench.data import TokenCorpus

Say = Callable[[str], None]
SKIPPED_NAMED = 5  # files named one by one in a note; the rest is counted


@dataclass(frozen=True)
class Plan:
    """The cells of a study in the order in which they run; `notes`: skipped files, matched sizes, broken kernels.

    Where a study tunes, results decide further cells: `later` holds one like each of those that may follow at most, and
    `grow` gives the plan with all that the cells finished by then decide.
    """

    study: Study
    cells: list[Cell]
    notes: list[str]
    later: list[Cell] = field(default_factory=list)
    grow: Callable[[], Plan] | None = None

    @property
    def arms(self) -> set[str]:
        """Names of all arms."""
        return {cell.labels["arm"] for cell in (*self.cells, *self.later)}


def make_plan(study: Study, say: Say = lambda _: None, results: Path | None = None) -> Plan:
    """Load the data, resolve and match the arms, and list the cells; those of a study that tunes as far as its cells
    under `results` decide them. Raises UserError naming file and key."""
    _load_plugins(study)
    check_sizes(study)
    _check_trackers(study)
    groups: dict[object, list[Combination]] = {}  # of one vocabulary each
    for member in study.combinations():
        groups.setdefault((member.corpus, member.tokenizer), []).append(member)
    found: list[Cell] = []
    notes: list[str] = []
    tuned: list[TunedArm] = []
    for members in groups.values():
        tokens = _load_tokens(study, members[0], say)
        notes += _skipped_notes(members[0].corpus, tokens)
        ours = [member for member in members if not member.arm.midi]
        configs = matched_configs(study, ours, tokens, notes) if ours else {}
        if study.content.tune:
            tuned += _tuned_arms(study, ours, configs, tokens)
        found += [cell for member in ours for cell in _cells_of(study, member, configs[member.label], tokens)]
        found += [cell for one in members if one.arm.midi for cell in _outside_cells(study, one, tokens, notes)]
        _check_held_out(study, members, tokens)
    notes += [*_broken_kernels(study), *slow_precision(found)]
    if not tuned:
        return Plan(study, _in_order(found), notes)
    read = finished_figures(Store(results, study.name)) if results else never_finished
    return _grown(study, found, notes, tuned, read)


def _in_order(cells: Iterable[Cell]) -> list[Cell]:
    """Each cell once, in the order in which they run. Arms of equal settings whose names look alike in an id stay apart
    by their whole names."""
    cells = list(cells)
    arms: dict[str, set[str]] = {}
    for cell in cells:
        arms.setdefault(cell.id, set()).add(cell.labels["arm"])
    known: dict[str, Cell] = {}
    for cell in cells:
        if cell.kind == "quality" and len(arms[cell.id]) > 1:
            cell = replace(cell, settings=cell.settings | {"arm": cell.labels["arm"]})
        known.setdefault(cell.id, cell)
    order = {"efficiency": 0, "reference": 1, "tuning": 2, "quality": 3}
    return sorted(known.values(), key=lambda cell: order[cell.kind])


def _grown(study: Study, found: list[Cell], notes: list[str], tuned: list[TunedArm], read: Read) -> Plan:
    """The plan of a study that tunes, with the cells that finished ones decide by now."""
    phases = [tuned_phases(arms, read) for arms in by_table(tuned)]
    cells = [*found, *(cell for one in phases for cell in one.cells)]
    if baseline := baseline_of(study, tuned):
        its_phases, choice = next((one, its) for one in phases for arm, its in one.choices if arm is baseline)
        cells += full_length_cells(baseline, choice, its_phases)
    said = [note for one in phases for note in one.notes]
    later = [cell for one in phases for cell in one.later]
    grow = partial(_grown, study, found, notes, tuned, read)
    return Plan(study, _in_order(cells), [*notes, *said], later, grow if later else None)


def _tuned_arms(
    study: Study, members: list[Combination], configs: dict[str, ArmConfig], tokens: TokenCorpus
) -> list[TunedArm]:
    """The members that train, each with its backbone at any point of the sweep."""
    known: dict[Key, dict[str, ArmConfig]] = {(): configs}

    def config_at(member: Combination, point: Point) -> ArmConfig:
        part = model_part(point)
        if key_of(part) not in known:
            known[key_of(part)] = matched_configs(study, [study.at(one, part) for one in members], tokens, [])
        return known[key_of(part)][member.label]

    arms = [TunedArm(study, member, tokens, config_at) for member in members if member.is_trained]
    assert study.content.tune
    of_process = any(name.startswith("diffusion.") for name in study.content.tune.grid)
    for arm in arms if of_process else ():
        for point in arm.grid:
            with study.place.naming("tune", of=UserError):
                _check_process(study, study.at(arm.member, point), config_at(arm.member, point), tokens)
    return arms


def _load_plugins(study: Study) -> None:
    from bench.plugins import load_plugins

    for index, module in enumerate(study.content.plugins):
        with study.place.naming("plugins", index, of=UserError):
            load_plugins([module])


def _load_tokens(study: Study, member: Combination, say: Say) -> TokenCorpus:
    from bench.measure.quality.music import load_tokens

    say(f"reading corpus {member.corpus}")
    with study.place.naming("baseline", "tokenizer"):
        return load_tokens(member.corpus, member.tokenizer)


def _skipped_notes(corpus: str, tokens: TokenCorpus) -> list[str]:
    """One line that counts and names the files of a corpus that could not be used."""
    if not tokens.skipped:
        return []
    named = [f"{one.path.name} ({one.reason})" for one in tokens.skipped[:SKIPPED_NAMED]]
    more = len(tokens.skipped) - len(named)
    others = f" and {more} more" if more else ""
    return [f"corpus {corpus}: {len(tokens.skipped)} files skipped: {'; '.join(named)}{others}"]


def _cells_of(study: Study, member: Combination, config: ArmConfig, tokens: TokenCorpus) -> list[Cell]:
    """The cells of one combination of a denoiser; a quality cell per seed."""
    measure, seeds = study.content.measure, study.content.seeds
    cells = []
    if measure.efficiency:
        _check_objective(study, member, measure.efficiency.lengths)
        identity = _machine_identity(study, member)
        cells.append(efficiency_cell(member, config, measure.efficiency, identity, study.content.plugins))
    if measure.quality:
        _check_checkpoint(study, member, config)
        _check_process(study, member, config, tokens)
        _check_objective(study, member, member.played_lengths)
        _check_kernels(study, member)
        _check_infilling(study, member, tokens)
        infill = measure.infilling
        cells += [reference_cell(member, tokens, length, infill) for length in _reference_lengths(study, member)]
        if study.content.tune and member.is_trained:  # its cells follow from the sweep
            return cells
        labels: dict[str, Any] = {"batch": member.sample.pieces, "threads": measure.quality.threads}
        if own := member.own_training:
            labels["tuned"] = point_words(own)
        cells += [quality_cell(member, config, tokens, seed, study.content.plugins, infill, **labels) for seed in seeds]
    return cells


def _outside_cells(study: Study, member: Combination, tokens: TokenCorpus, notes: list[str]) -> list[Cell]:
    """The cells of an arm that is a folder of MIDI files: the reference of its music, and its music."""
    from bench.measure.quality.outside import files_in_words, outside_tokens

    measure = study.content.measure
    if not measure.quality:
        raise study.place.error(
            ("axes", "arm"), f"arm {quoted(member.label)}: MIDI files have no cost to measure; add measure.quality"
        )
    assert member.arm.midi
    with study.place.naming("axes", "arm", arm=f"arm {quoted(member.label)}", of=(ValueError, UserError)):
        other = outside_tokens(member.arm.midi, member.tokenizer)
    found = _skipped_notes(f"of arm {member.label}", other)
    words = files_in_words(other, member.length, member.arm.pieces)
    wanted = member.sample.pieces
    found.append(f"arm {member.label}: {words}; against {wanted} held-out pieces (sample.pieces), as the other arms")
    notes += [note for note in found if note not in notes]
    return [
        reference_cell(member, tokens, member.length, measure.infilling),
        outside_cell(member, tokens, other, measure),
    ]


def _check_checkpoint(study: Study, member: Combination, config: ArmConfig) -> None:
    """Raise UserError where the weights that an arm is given are not those of its network."""
    from architectures import without_weights
    from bench.training.errors import TrainingError
    from bench.training.weights import check_weights, weights_file

    if member.arm.checkpoint:
        with study.place.naming("axes", "arm", arm=f"arm {quoted(member.label)}", of=(TrainingError, ValueError)):
            check_weights(weights_file(member.arm.checkpoint), without_weights(config))


def _check_objective(study: Study, member: Combination, lengths: Iterable[int]) -> None:
    """Raise UserError where a sampler does not follow the process, or a piece is no whole number of its blocks."""
    from bench.diffusion import DiffusionError
    from bench.diffusion.samplers import check_sampler

    block = member.diffusion.block or member.sample.block or 1

    with study.place.naming("baseline", "sample", arm=repr(member.label)):
        check_sampler(member.sample.sampler, member.sample.options(), objective=member.diffusion.objective)
        if broken := [length for length in lengths if length % block]:
            raise DiffusionError(f"block: {block} tokens do not divide the length {broken[0]}; allowed: whole blocks")


def _check_process(study: Study, member: Combination, config: ArmConfig, tokens: TokenCorpus) -> None:
    """Raise UserError where diffusion, network, sampler and constraints do not go together."""
    from architectures import DenoiserError, without_weights
    from bench.diffusion.samplers import SAMPLERS
    from bench.diffusion.samplers.constraint import JointConstraint
    from bench.measure.quality.process import build_constraint, build_diffusion
    from bench.training.checks import check_process

    with study.place.naming("baseline", "diffusion"):
        process = build_diffusion(tokens, member.diffusion.deciding())
    network: Any = None
    with study.place.naming("baseline", "diffusion", arm=f"arm {quoted(member.label)}"), suppress(DenoiserError):
        network = without_weights(config)
        check_process(process, network, member.length, member.train)
    with study.place.naming("baseline", "sample", arm=repr(member.label)):
        process.check_sampler(member.sample.sampler, member.sample.options())
        joint = isinstance(build_constraint(tokens, member.sample.constraints), JointConstraint)
        sampler, options = SAMPLERS[member.sample.sampler], member.sample.options()
        for length in member.played_lengths:
            part = sampler.part(length, member.diffusion.block, joint=joint, **options)
            if network is not None and not member.diffusion.block:  # which is checked with the process
                network.check_length(part)


def _reference_lengths(study: Study, member: Combination) -> list[int]:
    """Lengths at which a combination is measured beside real music."""
    hidden = [member.length] if study.content.measure.infilling else []
    return list(dict.fromkeys((*member.played_lengths, *hidden)))


def _check_held_out(study: Study, members: list[Combination], tokens: TokenCorpus) -> None:
    """Raise UserError where the test split has fewer windows of a length than pieces are to be drawn."""
    from bench.measure.quality.music import held_out_windows

    if study.content.measure.quality is None:
        return
    wanted = {(length, one.sample.pieces) for one in members for length in _reference_lengths(study, one)}
    with study.place.naming("baseline", "sample", of=UserError):
        for length, pieces in sorted(wanted):
            held_out_windows(tokens, length, pieces)


def _check_infilling(study: Study, member: Combination, tokens: TokenCorpus) -> None:
    """Raise UserError where too few test songs have bars to hide, or the tokens do not count time in equal bars."""
    from bench.measure.quality.infilling import choose_excerpts

    if study.content.measure.infilling:
        with study.place.naming("measure", "infilling", of=UserError):
            choose_excerpts(tokens, member.length, **study.content.measure.infilling.model_dump())


def _check_kernels(study: Study, member: Combination) -> None:
    """Raise UserError where a kernel that is asked for cannot run on the device that the cell trains on."""
    from architectures.kernels import chosen_kernels
    from metrics.cost.device import resolve_device

    asked = member.kernels.asked()
    if study.other_machine or not asked:
        return
    assert member.train
    with study.place.naming("baseline", "kernels", arm=f"arm {quoted(member.label)}"):
        chosen_kernels(resolve_device(member.train.device), asked)


def _check_trackers(study: Study) -> None:
    """Raise UserError for a tracker that is not installed where cells are to be trained."""
    from bench.training.tracking import check_tracker

    if study.content.measure.quality is None or study.other_machine:
        return
    with study.place.naming("baseline", "train", of=UserError):
        for name in dict.fromkeys(one.train.track for one in study.combinations() if one.train and one.is_trained):
            check_tracker(name)


def _machine_identity(study: Study, member: Combination) -> dict[str, object]:
    """The machine as a part of a timing's identity. Raises UserError for a device or a kernel that is not here."""
    from bench.run.machine import timing_identity

    wanted = study.content.measure.efficiency
    assert wanted
    with study.place.naming("measure", "efficiency", "device", of=UserError):
        timing_identity(wanted.device, wanted.threads)
    asked = {} if study.other_machine else member.kernels.asked()
    with study.place.naming("baseline", "kernels", arm=f"arm {quoted(member.label)}", of=UserError):
        return timing_identity(wanted.device, wanted.threads, asked, wanted.precision)


def _broken_kernels(study: Study) -> list[str]:
    """A line for each package that is installed for the device that is timed, and does not work."""
    from architectures.kernels import broken_kernels
    from metrics.cost.device import resolve_device

    wanted = study.content.measure.efficiency
    return broken_kernels(resolve_device(wanted.device)) if wanted else []


def slow_precision(cells: Iterable[Cell]) -> list[str]:
    """A line where cells ask for bfloat16 on a CPU that gains nothing by it."""
    from metrics.cost.device import bfloat16_warning, resolve_device

    parts = [cell.settings.get(name) or {} for cell in cells for name in ("train", "sample", "measure")]
    asked = any("bfloat16" in (part.get("precision"), part.get("evaluation_precision")) for part in parts)
    return [words] if asked and (words := bfloat16_warning(resolve_device("auto"))) else []
