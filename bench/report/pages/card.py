"""Model cards for the Hugging Face Hub: README.md with `model-index`, and `.eval_results` YAML, a folder an arm.

Formats: https://huggingface.co/docs/hub/model-cards, https://huggingface.co/docs/hub/eval-results.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.citation import NAME, citation
from bench.files import write_atomically
from bench.report.analysis.comparable import first_setting
from bench.report.analysis.references import BIGRAM, CEILING, GRAMMAR, reference_summary
from bench.report.rows.arms import arm_order
from bench.report.rows.frame import QUALITY, rows_of, study_name
from bench.report.rows.study import study_question
from bench.report.rows.summaries import (
    Group,
    Summaries,
    Summary,
    cost_summaries,
    group_words,
    quality_group,
    quality_summaries,
    reference_summaries,
)
from bench.report.tables.cost import joined, parameters_entry, summary_entry
from bench.report.tables.numbers import with_interval
from bench.report.tables.quality import NOT_ASKED, score_entry
from bench.report.tables.table import Entry, Table, as_markdown
from bench.versions import SOFTWARE
from metrics.cost.quantities import BITS, likelihood_kind
from metrics.headlines import COSTS, PRIMARY, SCORES
from metrics.quantities import quantity_of

REFERENCES = (CEILING, GRAMMAR, BIGRAM)
TASK = {"type": "other", "name": "symbolic music generation"}
"""The Hub has no task for it."""
PROCESSES = {"": "absorbing diffusion", "autoregressive": "autoregression"}
"""Of the column `process`; the others are diffusion by blocks."""
LIKELIHOODS = {
    "exact": "the exact negative log-likelihood",
    "importance estimate": "an importance estimate of the negative log-likelihood, above it on average",
    "bound": "an upper bound of the negative log-likelihood",
    "several kinds": "an upper bound of the negative log-likelihood in some figures, exact or estimated in others",
}


@dataclass(frozen=True)
class Card:
    """An arm's files: the folder they belong into, README.md and the content of `.eval_results`."""

    name: str
    readme: str
    results: str


def write_cards(cards: Sequence[Card], output: Path) -> None:
    """Write a folder an arm below `output`."""
    for card in cards:
        write_atomically(output / card.name / "README.md", card.readme)
        write_atomically(output / card.name / ".eval_results" / f"{NAME}.yaml", card.results)


def cards(frame: pd.DataFrame, folder: Path, licence: str = "", dataset: str = "") -> list[Card]:
    """A card of every arm that was trained and measured; `dataset`: id of the benchmark on the Hub, in place of the
    corpus. Arms that are folders of MIDI files are no models and have none."""
    scores, references = quality_summaries(frame), reference_summaries(frame)
    costs = first_setting(cost_summaries(frame))
    found, taken = list[Card](), set[str]()
    for arm in arm_order(frame):
        mine = scores.where(arm=arm, metric=SCORES).measured()
        if not mine or not mine.distinct("parameters"):
            continue
        base = name = re.sub(r"[^\w.-]+", "-", arm).strip("-.") or "arm"
        count = 1
        while name.casefold() in taken:
            count += 1
            name = f"{base}-{count}"
        taken.add(name.casefold())
        spent = costs.where(arm=arm, metric=COSTS).measured()
        readme = _readme(arm, frame, folder, mine, spent, references, licence)
        found.append(Card(name, readme, _yaml([_result(one, dataset) for one in mine.where(metric=PRIMARY)])))
    return found


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _settings(summary: Summary) -> str:
    """What a figure is of, in words."""
    seeds = f"mean over {summary.done} seed{'s' if summary.done != 1 else ''}"
    interval = f", 95 % interval {with_interval(summary.value, summary.low, summary.high).partition(' ')[2]}"
    words = seeds + (interval if summary.interval == "seeds" else "")
    return f"{words}; {group_words(quality_group(summary))}; card by {NAME} {SOFTWARE}"


def _result(summary: Summary, dataset: str) -> dict[str, Any]:
    """An entry of `.eval_results`."""
    of = {"id": dataset or summary.corpus, "task_id": summary.metric}
    return {"dataset": of, "value": summary.value, "notes": _settings(summary)}


def _index(arm: str, summaries: Summaries) -> dict[str, Any]:
    """The `model-index` of a card: one result a corpus, length, sampler and T."""
    results = []
    for group, rows in summaries.groups(quality_group):
        words = group_words(group)
        metrics = [
            {
                "type": one.metric,
                "name": quantity_of(one.metric).heading,
                "value": one.value,
                "args": {"seeds": one.done},
            }
            for one in rows
        ]
        of = {"type": group[0], "name": words, "split": "test"}
        results.append({"task": TASK, "dataset": of, "metrics": metrics})
    return {"name": arm, "results": results}


def _readme(
    arm: str,
    frame: pd.DataFrame,
    folder: Path,
    scores: Summaries,
    costs: Summaries,
    references: Summaries,
    licence: str,
) -> str:
    head: dict[str, Any] = {"license": licence.lower()} if licence else {}
    head |= {"library_name": NAME, "tags": ["symbolic-music", "discrete-diffusion", "midi"]}
    head["model-index"] = [_index(arm, scores)]
    both = Summaries([*scores, *costs])
    question = study_question(folder)
    facts = [
        ("block pattern", joined(both, "pattern").text),
        ("Mamba reads", joined(both, "direction").text),
        ("parameters", parameters_entry(both).text),
        ("training steps", joined(scores, "train_steps").text),
        ("corpus", joined(scores, "corpus").text),
        ("versions", ", ".join(sorted({v for v in frame.loc[frame["arm"] == arm, "version"] if v}))),
    ]
    lines = [
        f"---\n{_yaml(head)}---\n\n# {as_markdown(arm)}\n",
        f"A denoiser of symbolic music as tokens under {_process(frame, arm)}, arm `{_code(arm)}` of the study "
        f"`{_code(study_name(frame))}`, measured with {NAME}; this card is of version {SOFTWARE}."
        + (f" The study asks: {as_markdown(question)}" if question else "")
        + "\n",
        Table.of_words("model", "", ("", "of this model"), facts).to_markdown(),
        "## Evaluation\n",
        "Figures of the test side, beside real music against real music (real-vs-real) and the token baselines, which "
        "they are to be read against.\n",
        *(_scores(group, rows, references).to_markdown() for group, rows in scores.groups(quality_group)),
        *(["## Cost\n", _costs(costs).to_markdown()] if costs else []),
        "## Limits\n",
        "- A model of this corpus and size, trained to compare denoisers under equal settings, not to be the best.\n"
        f"- Bits/token is {_likelihood(scores)}, of tokens of this tokenizer alone.\n"
        "- No listening test is behind these figures.\n",
        f"## Use and citation\n\n`{NAME} generate RUN` draws music from the run's folder.\n\n{as_markdown(citation())}",
    ]
    return "\n".join(lines) + "\n"


def _process(frame: pd.DataFrame, arm: str) -> str:
    """The order in which tokens are drawn, in words."""
    quality = rows_of(frame, QUALITY)
    found = sorted({str(one) for one in quality.loc[quality["arm"] == arm, "process"]})
    blocks = "diffusion by blocks of {} tokens"
    return " and ".join(PROCESSES.get(one) or blocks.format(one.removeprefix("block ")) for one in found)


def _likelihood(scores: Summaries) -> str:
    definitions = (words for one in scores.where(metric=BITS) for words in one.definitions)
    return LIKELIHOODS[likelihood_kind(*definitions)]


def _code(text: str) -> str:
    return " ".join(text.replace("`", "'").split())


def _scores(group: Group, rows: Summaries, references: Summaries) -> Table:
    body = []
    for one in rows:
        beside = [reference_summary(references, name, one.metric, group[0], group[1]) for name in REFERENCES]
        shown = [Entry("") if ref is None else Entry.figure(ref.value) for ref in beside]
        score = score_entry(one, NOT_ASKED)
        body.append((Entry(quantity_of(one.metric).heading), score, Entry(str(one.done)), *shown))
    columns = ("metric", "this model", "seeds", *REFERENCES)
    return Table("scores", "", columns, tuple(body), (f"{group_words(group)}; brackets: 95 % interval over seeds.",))


def _costs(costs: Summaries) -> Table:
    """Costs at the longest length of each metric."""
    body = []
    for metric, rows in costs.groups(lambda summary: summary.metric):
        one = (rows.by_length() or rows)[-1]
        words = (str(one.length or ""), one.device, str(one.threads or ""), str(one.batch or ""), " ".join(one.kernels))
        body.append((Entry(quantity_of(metric).heading), summary_entry(one), *map(Entry, words)))
    return Table("cost", "", ("cost", "this model", "tokens", "device", "threads", "batch", "kernels"), tuple(body))
