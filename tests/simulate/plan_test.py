#!/usr/bin/env python3
"""What `seerc plan` says of a run on a described cluster: sums, limits, directions, and what it refuses.

Usage: plan_test.py SEERC SPECS. Plans one small network many times, on a machine of this file's own.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

SEERC, SPECS = sys.argv.pop(1), pathlib.Path(sys.argv.pop(1))
MACHINE = {"memory": "31GiB", "flops": 125e12, "bandwidth": 900e9, "efficiency": 0.4, "link_bandwidth": 10e9,
           "node_bandwidth": 100e9, "latency": 1e-5, "node_latency": 6e-7, "link_latency": 3e-6}
BATCH, NODES, PER_NODE, PROTOTYPES, ITERATIONS = 1024, 2, 4, 500, 4
KINDS = {"datasheet", "published", "measured", "assumed"}


def machine_text(numbers, exchange="nccl"):
    rows = "".join(f"  {key} = {value}\n" for key, value in numbers.items())
    return f"# A machine of the tests.\ncluster {{\n{rows}  exchange = {exchange}\n}}\n"


class Simulation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        (cls.folder / "racks").mkdir()
        (cls.folder / "racks/own.seer").write_text(machine_text(MACHINE))
        cls.spec = cls.folder / "spec.seer"
        cls.spec.write_text(
            'use "models/regnety_200mf"\ndata { pictures = "nowhere/"  count = 1000000 }\n'
            f"swav {{ prototypes = {PROTOTYPES}  iterations = {ITERATIONS}  head = [128, 64] }}\n"
            "views { crops = [crop(count = 2, size = 64px)] }\n"
            f"train {{ batch = {BATCH}  epochs = 3  precision = fp16 }}\n"
            f'cluster {{ machine = "racks/own"  nodes = {NODES}  ranks_per_node = {PER_NODE} }}\n')
        cls.usual = cls.plan()

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    @classmethod
    def run_plan(cls, *defines, json_wanted=True):
        command = [SEERC, "plan", "--library", SPECS, cls.spec] + (["--json"] if json_wanted else [])
        return subprocess.run(command + [part for define in defines for part in ("-D", define)], capture_output=True,
                              text=True)

    @classmethod
    def plan(cls, *defines):
        result = cls.run_plan(*defines)
        if result.returncode:
            raise AssertionError(f"{defines}: {result.stderr}")
        return json.loads(result.stdout)

    def simulated(self, *defines):
        return self.plan(*defines)["simulation"]

    def time(self, *defines):
        return self.simulated(*defines)["step"]["time_seconds"]

    def check_sums(self, found):
        step, told = found["step"], found["simulation"]["step"]
        exposed = sum(kind["exposed_seconds"] for kind in told["traffic"])
        computed = sum(told[f"{part}_seconds"] for part in ("forward", "backward", "again", "update"))
        self.assertAlmostEqual(told["plan_seconds"], computed + exposed, 9)
        self.assertAlmostEqual(told["plan_seconds"], step["time_seconds"], 9)
        self.assertAlmostEqual(told["time_seconds"],
                               told["plan_seconds"] + told["straggler_seconds"] + told["data_seconds"], 9)
        self.assertAlmostEqual(found["simulation"]["images_per_second"] * told["time_seconds"], step["images"], 3)
        for kind in told["traffic"]:
            self.assertLessEqual(kind["exposed_seconds"], kind["busy_seconds"] + 1e-12)
            self.assertEqual(kind["count"] > 0, kind["busy_seconds"] > 0, kind)

    def test_sums(self):
        self.check_sums(self.usual)
        for defines in (["shard.parameters=full"], ["shard.parameters=hybrid(4)", "train.accumulate=2"],
                        ["train.batch_norm_ranks=4", "shard.parameters=gradients"],
                        ["shard.parameters=full", "cluster.jitter=0.1", "cluster.decode_rate=100"],
                        ["cluster.exchange=mpi"], ["cluster.nodes=1", "cluster.ranks_per_node=1"]):
            with self.subTest(defines):
                self.check_sums(self.plan(*defines))

    def test_messages(self):
        """BatchNorm's messages go among its ranks, two numbers a channel; Sinkhorn's once an iteration among all."""
        found = self.plan("train.batch_norm_ranks=4")
        streams = [item for item in found["streams"] if item["stream"] == "statistics"]
        norms = [item for item in streams if item["label"].startswith("BatchNorm")]
        widths = found["model"]["widths"] + [32, 128]
        allowed = {3 * 2 * 4 * -(-width // 16) * 16 for width in widths}
        self.assertGreater(len(norms), 2 * sum(found["model"]["depths"]))
        for item in norms:
            self.assertEqual((item["ranks"], item["times"]), (4, 1))
            self.assertIn(item["bytes"], allowed)
        sums = [item for item in streams if item["label"].startswith("Sinkhorn")]
        self.assertEqual({(item["ranks"], item["times"], item["bytes"]) for item in sums},
                         {(NODES * PER_NODE, ITERATIONS, ITERATIONS * (NODES * PER_NODE - 1) * PROTOTYPES * 4)})
        counts = {kind["kind"]: kind["count"] for kind in found["simulation"]["step"]["traffic"]}
        self.assertEqual(counts["sinkhorn"], ITERATIONS * len(sums))

    def test_network(self):
        usual = self.usual["simulation"]["step"]["time_seconds"]
        self.assertGreater(self.time("cluster.link_bandwidth=1e9"), usual)
        self.assertLess(self.time("cluster.link_bandwidth=100e9"), usual)
        for key in ("latency", "node_latency", "link_latency"):
            self.assertGreater(self.time(f"cluster.{key}={MACHINE[key] * 10}"), usual, key)
        self.assertGreater(self.time("cluster.nodes=8", f"train.batch={4 * BATCH}"), usual)
        self.assertLessEqual(self.time("cluster.exchange=best"), usual)
        # One rank waits for nobody.
        alone = self.simulated("cluster.nodes=1", "cluster.ranks_per_node=1", "cluster.jitter=0.5")["step"]
        self.assertEqual(sum(kind["count"] for kind in alone["traffic"]) + alone["straggler_seconds"], 0)

    def test_stragglers(self):
        late = [self.simulated(f"cluster.jitter={jitter}")["step"]["straggler_seconds"] for jitter in (0, 0.05, 0.2)]
        self.assertEqual(late[0], 0)
        self.assertTrue(0 < late[1] < late[2], late)
        many = self.simulated("cluster.jitter=0.05", "cluster.nodes=64", f"train.batch={32 * BATCH}")["step"]
        self.assertGreater(many["straggler_seconds"], late[1])
        # All ranks are slow: everybody's computation takes so much longer.
        told = self.simulated("cluster.slow_ranks=1", "cluster.slow_factor=1.5")["step"]
        computed = sum(told[f"{part}_seconds"] for part in ("forward", "backward", "again", "update"))
        self.assertAlmostEqual(told["straggler_seconds"], computed / 2, 6)

    def test_loading(self):
        pictures = BATCH / NODES / PER_NODE
        told = self.simulated("cluster.decode_rate=50", "cluster.read_bandwidth=1e9")
        self.assertAlmostEqual(told["step"]["time_seconds"], pictures / 50, 6)
        told = self.simulated("cluster.read_bandwidth=1e6", "data.picture_bytes=50kB")
        self.assertAlmostEqual(told["step"]["time_seconds"], pictures * PER_NODE * 50e3 / 1e6, 6)
        fast = self.simulated("cluster.decode_rate=1e6")
        self.assertEqual(fast["step"]["data_seconds"], 0)
        self.assertTrue(0 < fast["decode_share"] < 1)

    def test_snapshots(self):
        told = self.simulated("cluster.write_bandwidth=1e6", "save.every=100steps")
        write = told["snapshot_bytes"] * PER_NODE / 1e6
        self.assertAlmostEqual(told["snapshot_write_seconds"], write, 6)
        copy = 2 * told["snapshot_bytes"] / MACHINE["bandwidth"]
        self.assertAlmostEqual(told["snapshot_pause_seconds"],
                               copy + max(0, write - 100 * told["step"]["time_seconds"]), 6)
        waits = self.simulated("cluster.write_bandwidth=1e6", "save.every=100steps", "save.asynchronous=no")
        self.assertAlmostEqual(waits["snapshot_pause_seconds"], copy + write, 6)
        self.assertAlmostEqual(waits["mean_step_seconds"],
                               waits["step"]["time_seconds"] + waits["snapshot_pause_seconds"] / 100, 9)

    def test_run(self):
        defines = ["cluster.node_failures=2h", "cluster.restart=60s", "cluster.write_bandwidth=1e8",
                   "save.asynchronous=no", "cluster.rank_power=300", "cluster.node_power=1000",
                   "cluster.power_overhead=1.2", "cluster.price=2"]
        told = self.simulated(*defines)
        seconds = told["days"] * 86400
        self.assertEqual(told["steps"], 3 * (1000000 // BATCH * BATCH) // BATCH)
        self.assertAlmostEqual(seconds, told["steps"] * told["step"]["time_seconds"] / told["effective_share"], 3)
        self.assertAlmostEqual(told["failures"], seconds / (7200 / NODES), 6)
        watts = 1.2 * (300 * NODES * PER_NODE + 1000 * NODES)
        self.assertAlmostEqual(told["watts"], watts, 6)
        self.assertAlmostEqual(told["joules"] / (watts * seconds), 1, 9)
        self.assertAlmostEqual(told["cost"] / (2 * NODES * PER_NODE * seconds / 3600), 1, 9)
        best = max(1, int(told["best_save_steps"]))
        for other in (best, max(1, best // 3), best * 3):
            share = self.simulated(*defines, f"save.every={other}steps")["effective_share"]
            if other == best:
                most = share
            self.assertLessEqual(share, most + 1e-12)
        self.assertGreaterEqual(self.simulated("cluster.node_failures=200h")["effective_share"],
                                self.simulated("cluster.node_failures=20h")["effective_share"])

    def test_unknown_length(self):
        told = self.simulated("data.count=auto")
        self.assertIsNone(told["days"])
        text = self.run_plan("data.count=auto", json_wanted=False).stdout
        self.assertIn("'data.count'", text)

    def test_sources(self):
        for machine in sorted((SPECS / "machines").glob("*.seer")):
            found = self.plan(f"cluster.machine={machine.stem}", "train.precision=fp32", "checkpoint.budget=100GiB",
                              "cluster.memory=100GiB")
            kinds = {key: source["kind"] for key, source in found["machine"]["sources"].items()}
            self.assertEqual(kinds.pop("memory"), "spec")
            wanted = {"guessed"} if machine.stem == "this" else KINDS
            self.assertLessEqual(set(kinds.values()), wanted, machine.stem)
            self.assertGreaterEqual(len(kinds), 8, machine.stem)
        self.assertEqual({source["kind"] for source in self.usual["machine"]["sources"].values()}, {"none"})

    def refused(self, *defines):
        result = self.run_plan(*defines)
        self.assertEqual(result.returncode, 1, result.stderr)
        return result.stderr

    def test_machine_files(self):
        for key in MACHINE:
            lacking = {name: value for name, value in MACHINE.items() if name != key}
            (self.folder / "lacking.seer").write_text(machine_text(lacking))
            text = self.refused("cluster.machine=lacking.seer")
            self.assertIn(f"the machine 'lacking.seer' has no 'cluster.{key}'", text)
            self.assertIn(str(self.folder / "lacking.seer"), text)
        value = MACHINE["link_latency"]  # the last one that was left out: of a node alone it is not asked for
        self.plan("cluster.machine=lacking.seer", f"cluster.{key}={value}")
        self.plan("cluster.machine=lacking.seer", "cluster.nodes=1")
        self.assertIn("unknown machine 'nowhere/at'", self.refused("cluster.machine=nowhere/at"))
        self.assertIn('did you mean "a100-40g"', self.refused("cluster.machine=a100-40"))
        self.assertIn("'link_bandwidth' 0 is below 1", self.refused("cluster.link_bandwidth=0"))
        self.assertIn("[batch-split]", self.refused("cluster.nodes=7"))
        often = self.run_plan("cluster.node_failures=10min", "cluster.restart=10min")
        self.assertEqual(often.returncode, 0)
        self.assertIn("warning: of 2 nodes one fails every 300 s, and a restart takes 600 s", often.stderr)


if __name__ == "__main__":
    unittest.main()
