"""Weights from elsewhere into seer's names: every format, sharded, narrow, wrapped; what does not fit, what is damaged
and what is a pickle. Golden lists of names and shapes are timm 1.0.31's and transformers 5.24.0's.

usage: files_test.py SEERC DOCS
"""
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

from common import (DEPTHS, WIDTHS, from_bf16, golden, header, pycls_names, random_tensors, read, run, same,
                    small_shapes, to_bf16, torchvision_names, vissl_names, write, write_outline)

SEERC = os.path.abspath(sys.argv[1])
DOCS = pathlib.Path(sys.argv[2])
GOLDEN = pathlib.Path(__file__).parent / "golden"
SWAV = {"projection_head.0.weight": (32, 40), "projection_head.0.bias": (32,), "projection_head.1.weight": (32,),
        "projection_head.1.bias": (32,), "projection_head.1.running_mean": (32,),
        "projection_head.1.running_var": (32,),
        "projection_head.3.weight": (16, 32), "projection_head.3.bias": (16,), "prototypes.weight": (12, 16)}
# The shipped network behind each list, and the head.
NETWORKS = {
    "timm-regnety_004": ("models/regnety_400mf", "timm", "a classifier of 1000 classes", 4344144),
    "timm-regnetx_004": ("models/regnetx_400mf", "timm", "a classifier of 1000 classes", 5157512),
    "timm-regnety_2560": ("models/regnety_256gf", "timm", "a classifier of 1000 classes", 1282601138),
    "hf-regnet-y-400mf": ("models/regnety_400mf", "hf", "a classifier of 2 classes", 3904026),
    "hf-regnet-x-400mf-trunk": ("models/regnetx_400mf", "hf", "none", 4772512),
    "hf-regnet-y-10b": ("models/regnety_10b", "hf", "none", 9323934872),
}


class Weights(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="seer-weights-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.shapes = small_shapes(torchvision_names)
        self.tensors = random_tensors(self.shapes)

    def path(self, name):
        return self.folder / name

    def taken(self, path, *options):
        """What import makes of a file."""
        out = self.path("taken.safetensors")
        run(SEERC, "import", path, "-o", out, *options)
        tensors, metadata = read(out)
        self.assertIn("seer", metadata)
        return tensors

    def refused(self, path, *says, command=("import", "-o", "/dev/null/never"), options=()):
        done = run(SEERC, command[0], path, *command[1:], *options, code=1)
        for text in says:
            self.assertIn(text, done.stderr)
        self.assertFalse(list(self.folder.glob("*.tmp")))
        return done.stderr

    def spec(self, text, name="wanted.seer"):
        self.path(name).write_text(text)
        return self.path(name)

    # Names.

    def test_golden_lists(self):
        for name, (spec, format_name, head, parameters) in NETWORKS.items():
            with self.subTest(name):
                path = write_outline(self.path(name), golden(GOLDEN / (name + ".txt")))
                out = self.path("net.seer")
                said = run(SEERC, "identify", path, "-o", out).stdout
                self.assertIn(f"spec         {spec}\n", said)
                self.assertIn(f"names        {format_name}\n", said)
                self.assertIn(f"head         {head}\n", said)
                self.assertIn(f"parameters   {parameters}, ", said)
                run(SEERC, "check", out)
                run(SEERC, "fmt", "--check", out)
                self.assertIn(f'use "{spec}"', out.read_text())
                os.remove(path)

    def test_released_10b(self):
        """VISSL's names with blocks in parts, its head of three layers and 16000 prototypes, as released."""
        import common
        small = (common.DEPTHS, common.WIDTHS, common.GROUPS, common.STEM)
        common.DEPTHS, common.WIDTHS, common.GROUPS, common.STEM = \
            (2, 7, 17, 1), (2020, 4040, 11110, 28280), (1010,) * 4, 32
        self.addCleanup(lambda: [setattr(common, key, value) for key, value in
                                 zip(("DEPTHS", "WIDTHS", "GROUPS", "STEM"), small)])
        common_blocks = common.blocks
        common.blocks = lambda: ((*place[:5], place[1] == 0) for place in common_blocks())
        self.addCleanup(setattr, common, "blocks", common_blocks)
        head = {"heads.0.projection_head.0.weight": (8192, 28280), "heads.0.projection_head.0.bias": (8192,),
                "heads.0.projection_head.2.weight": (8192, 8192), "heads.0.projection_head.2.bias": (8192,),
                "heads.0.projection_head.4.weight": (256, 8192), "heads.0.projection_head.4.bias": (256,),
                "heads.0.prototypes0.weight": (16000, 256)}
        shapes = small_shapes(vissl_names([[2], [7], [9, 17], [1]]), head=head)
        self.assertIn("trunk._feature_blocks.res4.block3-part1.block3-9.f.a.0.weight", shapes)
        self.assertIn("trunk._feature_blocks.res4.block3-part0.block3-8.f.a.0.weight", shapes)
        out = self.path("10b.seer")
        said = run(SEERC, "identify", write_outline(self.path("10b"), shapes), "-o", out).stdout
        self.assertIn("spec         models/regnety_10b\n", said)
        self.assertIn("head         a projection head of 8192, 8192, 256, without BatchNorm, 16000 prototypes", said)
        self.assertIn("parameters   9628923288, 9323934872 of them in the trunk", said)
        text = out.read_text()
        self.assertIn("head = [8192, 8192, 256]", text)
        self.assertIn("head_batch_norm = no", text)

    def test_two_networks_are_called_256gf(self):
        path = write_outline(self.path("256"), golden(GOLDEN / "timm-regnety_2560.txt"))
        said = self.refused(path, "'%s' seems to hold another network: regnety, depths [2, 7, 17, 1], widths "
                            "[746, 1492, 4103, 10444]" % path,
                            "wanted: regnety, depths [3, 7, 16, 1], widths [640, 1696, 2544, 5088]",
                            "is a file of models/regnety_256gf\n",
                            options=("--trunk", "--spec", self.spec('use "models/regnety_256gf_classyvision"\n')))
        self.assertRegex(said, r"of another shape: \d+, too many: \d+")

    def test_wrappers_and_vissl(self):
        """What VISSL, FairScale and training loops put around names; blocks in parts or not."""
        head = {"heads.0." + name.replace("prototypes", "prototypes0"): shape for name, shape in SWAV.items()}
        own = small_shapes(torchvision_names, head=SWAV)
        values = random_tensors(own, 3)
        parts = [[1, 2], [1], [2, 3]]
        for infix in ("", "_fsdp_wrapped_module.", "_fsdp_wrapped_module._fpw_module."):
            for names in (vissl_names(None, infix), vissl_names(parts, infix)):
                for wrapper in ("", "classy_state_dict.base_model.model.", "module."):
                    shapes = small_shapes(names, head=head)
                    file = {wrapper + name: value for name, value in zip(shapes, values.values())}
                    self.assertEqual([v.shape for v in file.values()], list(shapes.values()))
                    self.assertEqual(same(self.taken(write(self.path("v"), file)), values), [])
        said = run(SEERC, "identify", self.path("v")).stdout
        self.assertIn("names        vissl", said)
        self.assertIn("a projection head of 32, 16, with BatchNorm, 12 prototypes", said)

    def test_pycls_takes_blue_green_red(self):
        shapes = small_shapes(pycls_names)
        file = dict(zip(shapes, (value.copy() for value in self.tensors.values())))
        file["stem.conv.weight"] = np.ascontiguousarray(file["stem.conv.weight"][:, ::-1])
        file = {"model_state." + name: value for name, value in file.items()}
        file["optimizer_state.state.0.momentum_buffer"] = np.zeros(3, "<f4")
        self.assertEqual(same(self.taken(write(self.path("p"), file)), self.tensors), [])
        self.assertIn("left aside   1 tensors of an optimizer", run(SEERC, "identify", self.path("p")).stdout)

    def test_a_spec_of_its_own(self):
        """What is no shipped network is written with its stages, and the spec's network is that of the file."""
        out = self.path("own.seer")
        write(self.path("w"), {**self.tensors, **random_tensors(SWAV)})
        said = run(SEERC, "identify", self.path("w"), "-o", out).stdout
        self.assertIn("none of the shipped ones", said)
        run(SEERC, "check", out)
        run(SEERC, "fmt", "--check", out)
        for line in ("depths = [2, 1, 3]", "widths = [24, 40, 40]", "group_widths = [8, 8, 20]", "strides = [2, 2, 1]",
                     "stem_width = 16", "prototypes = 12", "head = [32, 16]"):
            self.assertIn(line, out.read_text())
        taken = self.taken(self.path("w"), "--spec", out)
        self.assertEqual(len(taken), len(self.tensors) + len(SWAV))
        trunk = self.taken(self.path("w"), "--spec", out, "--trunk")
        self.assertEqual(same(trunk, self.tensors), [])

    # Files.

    def test_narrow_and_wide_numbers(self):
        half = {name: value.astype("<f2") for name, value in self.tensors.items()}
        brain = {name: to_bf16(value) for name, value in self.tensors.items()}
        wide = {name: value.astype("<f8") for name, value in self.tensors.items()}
        for file, right in ((half, {n: v.astype("<f4") for n, v in half.items()}),
                            (brain, {n: from_bf16(v) for n, v in brain.items()}), (wide, self.tensors)):
            self.assertEqual(same(self.taken(write(self.path("n"), file)), right), [])
        first = next(iter(half))
        self.assertIn("numbers      F16, F32",
                      run(SEERC, "identify", write(self.path("n"), {**half, first: self.tensors[first]})).stdout)
        self.tensors[first] = np.zeros(self.tensors[first].shape, "<i8")
        self.refused(write(self.path("n"), self.tensors), f"tensor '{first}'", "holds I64, not floating-point numbers",
                     command=("import", "-o", self.path("never")))

    def shards(self, count=3):
        names = list(self.tensors)
        files = {f"model-{i + 1}-of-{count}.safetensors": names[i::count] for i in range(count)}
        for file, members in files.items():
            write(self.path(file), {name: self.tensors[name] for name in members})
        return {name: file for file, members in files.items() for name in members}

    def index(self, table):
        path = self.path("model.safetensors.index.json")
        path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": table}))
        return path

    def test_shards(self):
        path = self.index(self.shards())
        self.assertEqual(same(self.taken(path), self.tensors), [])
        self.assertEqual(same(self.taken(self.folder), self.tensors), [])

    def test_bad_indices(self):
        table = self.shards()
        first, other = list(table)[0], list(table)[-1]
        for change, says in (({first: "../model-1-of-3.safetensors"}, "names no plain file for tensor"),
                             ({first: "/etc/passwd"}, "names no plain file"), ({first: ""}, "names no plain file"),
                             ({first: 3}, "names no plain file"), ({first: "gone.safetensors"}, "No such file"),
                             ({first: table[other]}, "another file holds it"),
                             ({"more": table[first]}, "which lacks it")):
            self.refused(self.index({**table, **change}), says)
        lacking = dict(table)
        del lacking[first]
        self.refused(self.index(lacking), f"lacks tensor '{first}', which one of its files holds")
        self.refused(self.index({}), "names no tensor")
        for text, says in (("{", "is no JSON"), ("[]", "no object 'weight_map'"),
                           ('{"weight_map": []}', "'weight_map'"),
                           ('{"weight_map": {"a": "b", "a": "c"}}', "is no JSON"), ("[" * 100000, "is no JSON")):
            self.path("model.safetensors.index.json").write_text(text)
            self.refused(self.path("model.safetensors.index.json"), says)
        self.index(table)
        shutil.copy(self.path("model.safetensors.index.json"), self.path("b.safetensors.index.json"))
        self.refused(self.folder, "more than one index")

    def test_an_index_does_not_reach_other_files(self):
        """A shard that is a link out of the folder is the user's; a name that leaves it is refused unopened."""
        table = self.shards()
        outside = pathlib.Path(tempfile.mkdtemp(prefix="seer-outside-"))
        self.addCleanup(shutil.rmtree, outside)
        shutil.move(self.path("model-1-of-3.safetensors"), outside / "x.safetensors")
        relative = os.path.relpath(outside / "x.safetensors", self.folder)
        moved = {name: relative if file.startswith("model-1") else file for name, file in table.items()}
        self.refused(self.index(moved), "names no plain file")

    def test_damage(self):
        path = write(self.path("d"), self.tensors)
        data = path.read_bytes()
        for kept in (0, 4, 8, 100, len(data) - 1):
            path.write_bytes(data[:kept])
            self.refused(path, "is no sound safetensors file")
        path.write_bytes(data + b"x")
        self.refused(path, "1 bytes follow the last tensor")
        path.write_bytes(b"\xff" * 8 + data[8:])
        self.refused(path, "header claims")
        entries = {"a": ("F32", (1,), 4), "b": ("F32", (1,), 4)}
        start, size = header(entries)
        path.write_bytes(start.replace(b"[4, 8]", b"[0, 4]") + bytes(size))
        self.refused(path, "overlaps")
        self.refused(self.path("nothing"), "cannot read")

    def test_hostile_names_and_shapes(self):
        """Stages, blocks and widths beyond any network are no reason to take memory."""
        limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        sanitized = os.environ.get("SEER_SANITIZED") == "1"
        for name, shape in (("trunk_output.block9999.block9999-9999.f.c.0.weight", (8, 8, 1, 1)),
                            ("trunk_output.block1.block1-9998.f.c.0.weight", (8, 8, 1, 1)),
                            ("trunk_output.block1.block1-99999999999999999999.f.c.0.weight", (8, 8, 1, 1)),
                            ("projection_head.9999.weight", (8, 8)), ("x" * 900, (1,)), ("%s%n%s", (1,)),
                            ("fc.weight", (1 << 62, 0)),
                            ("trunk_output.block1.block1-0.f.b.0.weight", (1 << 60, 0, 3, 3)),
                            ("stem.0.weight", (1 << 40, 3, 3, 0)), ("prototypes.weight", (0, 0))):
            tensors = {**self.tensors, name: np.zeros(0, "<f4")}
            shapes = {**{n: t.shape for n, t in tensors.items()}, name: shape}
            sizes = {n: ("F32", s, 0 if n == name and 0 in s else 4 * int(np.prod(s))) for n, s in shapes.items()}
            start, size = header(sizes)
            self.path("h").write_bytes(start + bytes(size))
            for command in (("identify",), ("import", "-o", self.path("never"))):
                done = subprocess.run([SEERC, command[0], self.path("h"), *command[1:]], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, timeout=60, preexec_fn=None if sanitized else limit)
                self.assertEqual(done.returncode, 1, (name, shape, done.stderr))

    # Contents.

    def test_what_does_not_fit_is_named(self):
        spec = self.spec("model {\ndepths = [2, 1, 3]\nwidths = [24, 40, 40]\ngroup_widths = [8, 8, 20]\n"
                         "strides = [2, 2, 1]\nstem_width = 16\n}\nsupervised {\nclasses = 5\n}\n")
        whole = {**self.tensors, **random_tensors({"fc.weight": (5, 40), "fc.bias": (5,)})}
        self.assertEqual(same(self.taken(write(self.path("w"), whole), "--spec", spec), whole), [])
        gone, wrong = "stem.1.running_var", "trunk_output.block3.block3-2.f.b.0.weight"
        cases = [({gone: None}, ["missing: 1, of another shape: 0, too many: 0", f"missing: '{gone}'"]),
                 ({wrong: np.zeros((40, 10, 3, 3), "<f4")},
                  ["of another shape: 1", f"'{wrong}' is [40, 10, 3, 3], wanted [40, 20, 3, 3]"]),
                 ({"trunk_output.block3.block3-3.f.a.1.bias": np.zeros(40, "<f4")},
                  ["too many: 1", "depths [2, 1, 4]", "depths [2, 1, 3]"]),
                 ({"mean": np.zeros(3, "<f4")}, ["too many: 'mean'"]),
                 ({"fc.bias": None}, ["missing: 'fc.bias'", "--trunk takes the trunk alone"]),
                 ({"fc.weight": np.zeros((7, 40), "<f4")}, ["'fc.weight' is [7, 40], wanted [5, 40]", "--trunk"])]
        for change, says in cases:
            file = {name: value for name, value in {**whole, **change}.items() if value is not None}
            self.refused(write(self.path("w"), file), *says, options=("--spec", spec))
        for name in list(whole)[3:9]:
            del whole[name]
        self.refused(write(self.path("w"), whole), "missing: 6", "and 2 more", options=("--spec", spec))

    def test_one_tensor_twice(self):
        name = "stem.0.weight"
        self.refused(write(self.path("w"), {**self.tensors, "module." + name: self.tensors[name]}),
                     "holds one tensor twice: as '", "module.stem.0.weight'")

    def test_not_finite(self):
        bad = dict(self.tensors)
        names = ["stem.1.bias", "trunk_output.block2.block2-0.f.c.1.running_var"]
        for name, value in zip(names, (np.nan, -np.inf)):
            bad[name] = bad[name].copy()
            bad[name].flat[3] = value
        said = self.refused(write(self.path("w"), bad), "not finite, in 2 tensors", *names,
                            command=("import", "-o", self.path("never")))
        self.assertIn("'stem.1.bias'", said)
        self.assertFalse(self.path("never").exists())
        half = {name: value.astype("<f2") for name, value in bad.items()}
        self.refused(write(self.path("w"), half), "in 2 tensors", command=("import", "-o", self.path("never")))

    def test_variances_below_zero(self):
        name = "trunk_output.block2.block2-0.f.c.1.running_var"
        bad = dict(self.tensors)
        bad[name] = bad[name].copy()
        bad[name][3] = -1e-3
        self.refused(write(self.path("w"), bad), f"holds variances below zero, in 1 tensor: '{name}'",
                     command=("import", "-o", self.path("never")))
        bad["stem.1.bias"] = bad["stem.1.bias"] * np.nan
        self.refused(write(self.path("w"), bad), "not finite, or variances below zero, in 2 tensors",
                     command=("import", "-o", self.path("never")))

    def test_a_stage_of_unknown_width(self):
        """What only the missing tensors tell cannot be guessed, but one is named."""
        for part in ("f.b.0", "f.c.0"):
            names = [f"trunk_output.block1.block1-{block}.{part}.weight" for block in range(DEPTHS[0])]
            rest = {name: tensor for name, tensor in self.tensors.items() if name not in names}
            flat = {name: self.tensors[name].reshape(-1) for name in names}
            for tensors in (rest, {**rest, **flat}):
                path = write(self.path("w"), tensors)
                for command in (("identify",), ("import", "-o", self.path("never"))):
                    self.refused(path, "have names that 'torchvision' gives to a RegNet's", f"'{names[0]}' is missing",
                                 command=command)

    def test_what_is_no_regnet(self):
        path = write(self.path("w"), {"layer1.0.conv1.weight": np.zeros((4, 4, 3, 3), "<f4")})
        self.refused(path, "holds no whole RegNet: of 1 tensors, 0 have names", "'layer1.0.conv1.weight'",
                     command=("identify",))
        self.refused(path, "holds no whole RegNet")
        empty = write(self.path("e"), {})
        self.refused(empty, "holds no whole RegNet", command=("identify",))

    def test_a_full_disk_leaves_no_file(self):
        path = write(self.path("w"), self.tensors)
        done = run(SEERC, "import", path, "-o", "/dev/full/x", code=3)
        self.assertIn("/dev/full/x", done.stderr)
        out = self.path("o.safetensors")
        out.write_text("kept")
        small = lambda: (resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)))
        import signal
        done = subprocess.run([SEERC, "import", path, "-o", out], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              preexec_fn=lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN), small()))
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertEqual(out.read_text(), "kept")
        self.assertFalse(list(self.folder.glob("*.tmp")))

    def test_command_line(self):
        for words in (("import",), ("import", "a", "b"), ("import", "a"), ("identify",), ("identify", "a", "b")):
            run(SEERC, *words, code=2)

    # Pickles.

    def test_pickles_are_never_opened(self):
        import pickle

        class Trap:
            def __reduce__(self):
                return os.system, (f"touch {self.mark}",)

        trap = Trap()
        trap.mark = self.path("opened")
        for protocol in (2, 3, 4, 5):
            self.path("weights").write_bytes(pickle.dumps(trap, protocol))
            self.refused(self.path("weights"), "is a pickle", "python3 -c")
        for suffix in ("pt", "pth", "bin", "torch", "pyth", "pkl", "ckpt"):
            self.path("w." + suffix).write_bytes(b"anything")
            self.refused(self.path("w." + suffix), "is a pickle", command=("identify",))
        self.assertFalse(self.path("opened").exists())
        # A header of 66176 bytes starts as a pickle does.
        filler = 66176
        text = json.dumps({"__metadata__": {"note": ""}, **{name: {
            "dtype": "F32", "shape": list(t.shape), "data_offsets": [0, 0]} for name, t in self.tensors.items()}})
        start, _ = header({n: ("F32", t.shape, t.nbytes) for n, t in self.tensors.items()},
                          {"note": "x" * (filler - 20000)})
        missing = filler - (len(start) - 8)
        self.assertGreater(missing, 0, text[:0])
        start, _ = header({n: ("F32", t.shape, t.nbytes) for n, t in self.tensors.items()},
                          {"note": "x" * (filler - 20000 + missing)})
        self.assertEqual(start[:4], b"\x80\x02\x01\x00")
        self.path("long").write_bytes(start + b"".join(t.tobytes() for t in self.tensors.values()))
        self.assertEqual(same(self.taken(self.path("long")), self.tensors), [])

    def test_the_conversion_converts(self):
        """The line of the message and of the docs, run as it stands by the system's PyTorch."""
        import torch
        state = {name: torch.from_numpy(value.copy()) for name, value in self.tensors.items()}
        state["stem.1.num_batches_tracked"] = torch.tensor(3)
        state["stem.0.weight"] = state["stem.0.weight"].to(memory_format=torch.channels_last)
        nested = {"classy_state_dict": {"base_model": {"model": {"trunk": state}}}, "iteration": 5,
                  "optimizer": {"state": [{"momentum_buffer": torch.ones(3)}], "groups": [[1, 2]]}}
        torch.save(nested, self.path("w.torch"))
        said = self.refused(self.path("w.torch"), "is a pickle", command=("identify",))
        line = re.search(r"^python3 -c .*$", said, re.M)[0]
        self.assertIn(f"    {line}\n", DOCS.read_text())
        self.assertEqual(line[-7:], " IN OUT")
        subprocess.run(line[:-6].replace("python3", sys.executable, 1) + "w.torch w.safetensors", shell=True,
                       check=True, cwd=self.folder)
        self.assertEqual(same(self.taken(self.path("w.safetensors")), self.tensors), [])


if __name__ == "__main__":
    assert DEPTHS and WIDTHS
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
