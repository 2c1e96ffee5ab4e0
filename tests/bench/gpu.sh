#!/usr/bin/env bash
# Trainers on a GPU: what is right, and how fast beside PyTorch. In two halves, because a machine with a GPU often has no
# more than the driver and PyTorch.
#
#   tests/bench/gpu.sh prepare SEERC FOLDER [PART...]   where seerc and a C++ compiler are, without a GPU: builds what
#                                                       the parts need, and the simulated GPU's results
#   FOLDER/gpu.sh run [PART...]                         where the GPU is; prints, and writes FOLDER/results.json
#
# Parts, each in less than ten minutes: check (the GPU against the simulated one), step16, step128, convolutions, step10b.
# How each is measured: gpu.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
exec "${PYTHON:-python3}" -B "$here/gpu.py" "$@"
