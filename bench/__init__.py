"""smdim-bench: what does changing only the denoiser do to cost and to music?"""

from __future__ import annotations

__version__ = "0.1.0"
