"""Small models for the tests of plans: every kind of block, task and option that takes memory in its own way, at sizes
that train in a fraction of a second. And pictures for them, made here.
"""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/emit"))
from emit_test import make_pictures  # noqa: E402,F401

COMMON = """data {{ pictures = "{pictures}" }}
schedule {{ base = 2 }}
evaluate {{ size = 32px  resize = 32px  batch = 4 }}
"""

SPECS = {
    # Projections, an identity block, a stage of stride 1; head with BatchNorm; a queue that fills in the second step.
    "y_queue": """model {
  depths = [1, 2, 1]  widths = [16, 24, 32]  group_widths = [8]  strides = [2, 1, 2]  stem_width = 16
}
swav { prototypes = 12  head = [24, 16]  freeze_prototypes = 1steps  queue = 12 }
views { crops = [crop(count = 2, size = 32px), crop(count = 2, size = 24px, scale = 0.05..0.14)] }
train { batch = 6  steps = 4 }
""",
    # Three sizes, a batch that fills no vector, accumulation, a head without BatchNorm.
    "x_three_sizes": """model {
  family = regnetx
  depths = [1, 1, 2]  widths = [16, 32, 32]  group_widths = [16, 8, 8]  strides = [2, 2, 1]  stem_width = 8
}
swav { prototypes = 10  head = [32, 24, 16]  head_batch_norm = no  freeze_prototypes = 0steps }
views { crops = [crop(count = 2, size = 32px), crop(count = 1, size = 24px), crop(count = 2, size = 16px)] }
train { batch = 6  steps = 3  accumulate = 2 }
""",
    "y_supervised": """model {
  depths = [3, 2]  widths = [16, 40]  group_widths = [8]  strides = [2, 2]  stem_width = 12
}
supervised { classes = 2  label_smoothing = 0.1 }
views { crops = [crop(count = 1, size = 40px)] }
train { batch = 8  steps = 4 }
optimizer { name = sgd  nesterov = yes  weight_decay = 1e-3 }
""",
    # Identity blocks only behind the first: room for recomputation inside recomputation.
    "x_deep": """model {
  family = regnetx  depths = [6]  widths = [16]  group_widths = [8]  strides = [2]  stem_width = 16
}
swav { prototypes = 8  head = [16]  freeze_prototypes = 0steps  queue = 8  queue_start = 2steps }
views { crops = [crop(count = 2, size = 32px)] }
train { batch = 4  steps = 4  accumulate = 2 }
""",
    "y_stride_1": """model {
  depths = [2, 2]  widths = [16, 16]  group_widths = [4, 16]  strides = [1, 1]  stem_width = 8  stem_stride = 1
  bottleneck = 0.5
}
supervised { classes = 2 }
views { crops = [crop(count = 2, size = 16px), crop(count = 1, size = 12px)] }
train { batch = 6  steps = 3  accumulate = 2 }
""",
}


# Shipped networks and an example, in fewer and smaller pictures.
SHIPPED = {
    "regnety_200mf": """use "models/regnety_200mf"
swav { prototypes = 16  head = [32, 16] }
views { crops = [crop(count = 2, size = 64px), crop(count = 2, size = 32px)] }
train { batch = 4  steps = 2 }
""",
    "regnetx_200mf": """use "models/regnetx_200mf"
supervised { classes = 10 }
views { crops = [crop(count = 1, size = 64px)] }
train { batch = 8  steps = 2  accumulate = 2 }
""",
    "stamps": None,
}

EXACT = [*SPECS, *SHIPPED]


def spec_write(folder, name, pictures):
    path = pathlib.Path(folder) / f"{name}.seer"
    if name == "stamps":
        path.write_text((ROOT / "examples/stamps/stamps.seer").read_text() + "train { batch = 16 }\n")
    else:
        path.write_text(f"# {name}\n" + {**SPECS, **SHIPPED}[name] + COMMON.format(pictures=pictures))
    return path
