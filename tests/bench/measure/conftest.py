"""Small denoisers with troubles of their own, and the cells that time them."""

from __future__ import annotations

import os

import pytest

from bench.measure.efficiency.cell import EfficiencyCell

STAND_INS = '''
import os, signal, time
import torch
from torch import nn
from torch.nn import functional


class Denoiser(nn.Module):
    """Embedding, one attention head, logits; writes down when each of its calls ran."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config["vocab_size"], 16)
        self.output = nn.Linear(16, config["vocab_size"])

    def forward(self, tokens):
        trouble = self.config.get("trouble", "")
        if trouble and tokens.shape[1] >= 32:
            if trouble.startswith("later ") and self.is_of_first_replicate():
                return self.answer(tokens)
            {"error": self.error, "oom": self.oom, "kill": self.kill, "sleep": self.sleep}[trouble.split()[-1]]()
        if path := self.config.get("diary"):
            with open(path, "a") as diary:
                diary.write(f"{self.config['name']} {tokens.shape[1]} {int(self.training)}\\n")
        return self.answer(tokens)

    def answer(self, tokens):
        held = torch.ones(2**19)  # 2 MiB until the end of the call: the system counts peaks 0.125 MiB a core too low
        x = self.embedding(tokens)[:, None]
        mixed = functional.scaled_dot_product_attention(x, x, x)[:, 0]
        del held
        return self.output(mixed)

    def is_of_first_replicate(self):
        """Whether this process is the first that is timed or the first in which memory is measured."""
        with open(self.config["diary"] + "-" + self.config["name"], "a+") as mark:
            mark.seek(0)
            known = mark.read().split()
            if len(known) < 2 and str(os.getpid()) not in known:
                mark.write(f"{os.getpid()} ")
                return True
            return str(os.getpid()) in known

    def error(self):
        raise ArithmeticError("numbers ran out")

    def oom(self):
        device = self.output.weight.device
        torch.empty(2**34 if device.type == "cpu" else 2**42, device=device)

    def kill(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def sleep(self):
        time.sleep(3600)

    def kernels(self):
        return {"scan": "none"}


def build(config):
    if config.get("trouble") == "build":
        raise ValueError("this cannot be built")
    return Denoiser(config)
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds the stand-ins, on the search path of the measuring processes."""
    place = tmp_path_factory.mktemp("efficiency")
    (place / "efficiency_stand_ins.py").write_text(STAND_INS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(place), prepend=os.pathsep)
        yield place


@pytest.fixture(scope="module")
def cell(folder):
    def make(name, lengths=(16, 32), trouble="", **more):
        config = {"vocab_size": 20, "name": name, "trouble": trouble, "diary": str(folder / "diary")}
        return EfficiencyCell(name, name, config, lengths, factory="efficiency_stand_ins:build", sample_steps=3, **more)

    return make
