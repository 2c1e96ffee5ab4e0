"""The planner against a mixed-integer program (Debian: python3-scipy, whose milp is HiGHS).

usage: ilp_test.py --tool ORACLE_TOOL [--seerc SEERC] quick|full

Chains come from ORACLE_TOOL, without parameters and offload, with the optimum of the planner's class at every budget
of interest. The program knows no class: it is over all schedules that run a block forward at most once between two
backwards. So it may cost less than the planner, which is counted, but never more; and the planner's bound for any
schedule may not lie above it. Chains with parameters and offload are compared with the class alone.
"""
import argparse
import collections
import json
import os
import random
import subprocess
import sys
import tempfile
import time

import numpy
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

OPTIMAL, TIME_LIMIT = 0, 1


class Program:
    """Rows and columns of a mixed-integer program, by name."""

    def __init__(self):
        self.columns, self.whole, self.cost = {}, [], []
        self.entries, self.low, self.high = [], [], []

    def column(self, name, whole, cost=0):
        self.columns[name] = len(self.cost)
        self.whole.append(1 if whole else 0)
        self.cost.append(cost)

    def row(self, terms, low, high):
        """Terms are (name, factor); a name may stand more than once."""
        sums = collections.Counter()
        for name, factor in terms:
            sums[self.columns[name]] += factor
        self.entries += [(len(self.low), column, factor) for column, factor in sums.items()]
        self.low.append(low)
        self.high.append(high)

    def solve(self, seconds, presolve=True):
        """Returns whether the program was solved to the end, and its least cost; the answer is checked by hand.

        HiGHS 1.2 (in Debian 12) now and then presolves to values beyond their bounds: RuntimeError then.
        """
        rows, columns, factors = zip(*self.entries)
        matrix = csr_matrix((factors, (rows, columns)), shape=(len(self.low), len(self.cost)))
        result = milp(c=numpy.array(self.cost, dtype=float), integrality=self.whole, bounds=Bounds(0, 1),
                      constraints=LinearConstraint(matrix, self.low, self.high),
                      options={"time_limit": seconds, "mip_rel_gap": 0, "presolve": presolve})
        if result.status == TIME_LIMIT:
            return False, None
        if result.status != OPTIMAL:
            raise RuntimeError(result.message)
        values, whole = numpy.array(result.x), numpy.array(self.whole) == 1
        values[whole] = numpy.round(values[whole])
        sums = matrix @ values
        # Rows are in whole bytes; what is not whole is where an output is held, to HiGHS's 1e-6.
        if (values < -1e-5).any() or (values > 1 + 1e-5).any() or \
                (sums > numpy.array(self.high) + 0.1).any() or (sums < numpy.array(self.low) - 0.1).any():
            raise RuntimeError("an answer beyond its bounds")
        return True, round(float(numpy.array(self.cost) @ values))


class Stages:
    """The program for one chain. Stage t is the time before B(t); block i's place in it is position i, B's is t + 1.

    A forward that does not save is never dearer or larger than one that does (checked), so each block is saved once,
    in one stage and one mode, and its set stays until its backward. What is left to choose beside the operations is
    where an output is held without its set.
    """

    def __init__(self, chain, budget):
        self.blocks, self.budget, self.program = [None] + chain["blocks"], budget, Program()
        self.length = len(chain["blocks"])
        for block in chain["blocks"]:
            forward = block["forward_only"]
            for mode in block["modes"]:
                assert forward["time_ns"] <= mode["forward_ns"]
                assert block["output_bytes"] + forward["transient_bytes"] <= \
                    mode["saved_bytes"] + mode["forward_transient_bytes"]
        self.add_columns()
        for stage in range(self.length, 0, -1):
            self.add_stage(stage)
        for i in range(1, self.length + 1):
            saves = [(("E", t, i, k), 1) for t in range(i, self.length + 1) for k in self.modes(i)]
            self.program.row(saves, 1, 1)

    def modes(self, i):
        return range(len(self.blocks[i]["modes"]))

    def add_columns(self):
        for t in range(1, self.length + 1):
            for i in range(1, t + 1):
                block = self.blocks[i]
                if i < t:
                    self.program.column(("N", t, i), True, block["forward_only"]["time_ns"])
                for k, mode in enumerate(block["modes"]):
                    self.program.column(("E", t, i, k), True, mode["forward_ns"] + mode["backward_ns"])
            for position in range(1, t + 2):
                for j in range(1, t):
                    self.program.column(("a", t, position, j), False)

    def set_terms(self, t, position, j, k):
        """1 where S(j,k) is held as that position of stage t begins."""
        return [(("E", stage, j, k), 1) for stage in range(t + 1, self.length + 1)] + \
            ([(("E", t, j, k), 1)] if position > j else [])

    def output_terms(self, t, position, j):
        terms = [(("a", t, position, j), 1)]
        for k in self.modes(j):
            terms += self.set_terms(t, position, j, k)
        return terms

    def held_terms(self, t, position):
        terms = [(("a", t, position, j), self.blocks[j]["output_bytes"]) for j in range(1, t)]
        for j in range(1, t + 1):
            for k, mode in enumerate(self.blocks[j]["modes"]):
                terms += [(name, mode["saved_bytes"]) for name, _ in self.set_terms(t, position, j, k)]
        return terms

    def gradient(self, t):
        return self.blocks[t]["output_gradient_bytes"] if t > 0 else 0

    def add_stage(self, t):
        for position in range(1, t + 1):
            self.add_position(t, position)
        # B(t): its set, its input, its bytes.
        self.program.row([term for k in self.modes(t) for term in self.set_terms(t, t + 1, t, k)], 1, 1)
        if t > 1:
            self.program.row(self.output_terms(t, t + 1, t - 1), 1, numpy.inf)
        terms = self.held_terms(t, t + 1)
        for k, mode in enumerate(self.blocks[t]["modes"]):
            terms += [(name, mode["backward_transient_bytes"]) for name, _ in self.set_terms(t, t + 1, t, k)]
        self.program.row(terms, -numpy.inf, self.budget - self.gradient(t) - self.gradient(t - 1))

    def add_position(self, t, i):
        block, program = self.blocks[i], self.program
        operations = [("N", t, i)] if i < t else []
        operations += [("E", t, i, k) for k in self.modes(i)]
        program.row([(name, 1) for name in operations], 1 if t == self.length else 0, 1)
        if i > 1:
            program.row([(name, 1) for name in operations] +
                        [(name, -factor) for name, factor in self.output_terms(t, i, i - 1)], -numpy.inf, 0)
        terms = self.held_terms(t, i)
        if i < t:
            terms.append((("N", t, i), block["output_bytes"] + block["forward_only"]["transient_bytes"]))
        for k, mode in enumerate(block["modes"]):
            terms.append((("E", t, i, k), mode["saved_bytes"] + mode["forward_transient_bytes"]))
        program.row(terms, -numpy.inf, self.budget - self.gradient(t))
        for j in range(1, t):
            self.add_flow(t, i, j)

    def add_flow(self, t, position, j):
        """What is held behind a position was held before it or made there; a first position follows the last B."""
        if position == 1:
            before = [(("a", t + 1, t + 2, j), -1)] if t < self.length else []
            self.program.row([(("a", t, 1, j), 1)] + before, -numpy.inf, 0)
        made = [(("N", t, j), -1)] if position == j else []
        self.program.row([(("a", t, position + 1, j), 1), (("a", t, position, j), -1)] + made, -numpy.inf, 0)


class Comparison:
    """Asks the planner and the program about one chain and one budget, and counts."""

    def __init__(self, seerc, folder, seconds):
        self.seerc, self.folder, self.seconds = seerc, folder, seconds
        self.counts, self.gaps, self.faults = collections.Counter(), [], []
        self.longest = 0

    def plan(self, chain, budget):
        path = os.path.join(self.folder, "chain.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(dict(chain, budget_bytes=budget), file)
        done = subprocess.run([self.seerc, "plan", "--chain", path], capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"'seerc plan' ended with {done.returncode}: {done.stderr}")
        return json.loads(done.stdout)

    def fault(self, what, chain, budget):
        self.faults.append(f"{what}\n{json.dumps(dict(chain, budget_bytes=budget))}")

    def check_plan(self, chain, budget, class_ns):
        answer = self.plan(chain, budget)
        if not answer["feasible"] or answer["cost_ns"] != class_ns or answer["peak_bytes"] > budget:
            self.fault(f"the planner is not at the class optimum {class_ns}: {answer}", chain, budget)
            return answer
        schedule = answer["schedule"]
        if sum(op["cost_ns"] for op in schedule) != class_ns or \
                max(op["memory_bytes"] for op in schedule) != answer["peak_bytes"]:
            self.fault(f"cost and peak are not those of the schedule: {answer}", chain, budget)
        below = self.plan(chain, answer["minimum_budget_bytes"] - 1)
        if below["feasible"] or below["minimum_budget_bytes"] != answer["minimum_budget_bytes"]:
            self.fault(f"feasible below the smallest budget: {below}", chain, budget)
        return answer

    def least_cost(self, chain, budget, class_ns):
        """Returns the least cost of all schedules of the program, or None where the time was too short.

        The class is among them, so a cost above the class's is a wrong answer of HiGHS, as is one beyond bounds; then
        once more without presolving, and that stands.
        """
        program = Stages(chain, budget).program
        try:
            solved, cost = program.solve(self.seconds)
            if not solved or cost <= class_ns:
                return cost
        except RuntimeError:
            pass
        self.counts["again"] += 1
        return program.solve(self.seconds, presolve=False)[1]

    def compare(self, chain, budget, class_ns, any_ns):
        self.counts["instances"] += 1
        answer = self.check_plan(chain, budget, class_ns) if self.seerc else None
        started = time.monotonic()
        cost = self.least_cost(chain, budget, class_ns)
        self.longest = max(self.longest, time.monotonic() - started)
        if cost is None:
            self.counts["unsolved"] += 1
            return
        self.counts["solved"] += 1
        self.counts["equal"] += cost == class_ns
        self.gaps.append(class_ns / cost - 1 if cost else 0)
        if any_ns is not None:
            self.counts["searched"] += 1
            self.counts["equal to the search"] += cost == any_ns
        if cost > class_ns:
            self.fault(f"no schedule of the program costs less than {cost}, the class has {class_ns}", chain, budget)
        if any_ns is not None and cost < any_ns:
            self.fault(f"the program finds {cost}, the search over all schedules {any_ns}", chain, budget)
        if answer and answer["lower_bound_ns"] > cost:
            self.fault(f"the planner's bound {answer['lower_bound_ns']} is above {cost}", chain, budget)

    def check_front(self, chain, front):
        """Chains that the program does not know: the planner's answers at every point of the class front."""
        for budget, class_ns, _ in front:
            self.counts["budgets"] += 1
            self.check_plan(chain, budget, class_ns)
        if self.plan(chain, front[0][0])["minimum_budget_bytes"] != front[0][0]:
            self.fault(f"the smallest budget is {front[0][0]}", chain, front[0][0])

    def report(self, name):
        counts, gaps = self.counts, self.gaps
        print(f"{name}: {counts['instances']} instances, {counts['solved']} solved, {counts['unsolved']} unsolved in "
              f"{self.seconds} s (longest {self.longest:.1f} s); the planner is optimal over all schedules in "
              f"{counts['equal']}, mean gap {100 * sum(gaps) / max(1, len(gaps)):.4f} %, largest "
              f"{100 * max(gaps, default=0):.2f} %; searched {counts['searched']}, equal "
              f"{counts['equal to the search']}; solved again {counts['again']}", flush=True)


# Family, blocks, modes; chains in the quick and in the full run; budgets of each.
SIZES = [("random", 4, 3, 3, 20, 3), ("random", 6, 2, 2, 20, 3), ("random", 7, 2, 1, 20, 3), ("random", 8, 2, 1, 15, 3),
         ("random", 9, 2, 0, 15, 3), ("random", 10, 2, 0, 10, 3), ("random", 12, 2, 0, 10, 2),
         ("regnet", 4, 3, 2, 20, 3), ("regnet", 6, 2, 2, 20, 3), ("regnet", 8, 2, 1, 15, 3), ("regnet", 9, 2, 0, 15, 3),
         ("regnet", 10, 2, 0, 10, 3), ("regnet", 12, 2, 0, 10, 2)]


def make_chain(tool, seed, family, blocks, modes, *more):
    done = subprocess.run([tool, str(seed), family, str(blocks), str(modes), *more], capture_output=True, text=True,
                          check=True)
    made = json.loads(done.stdout)
    return made["chain"], made["front"]


def compare_sizes(options, folder):
    checked, solved, faults = 0, 0, []
    for family, blocks, modes, quick, full, budgets in SIZES:
        comparison = Comparison(options.seerc, folder, 5 if options.size == "quick" else 20)
        for seed in range(quick if options.size == "quick" else full):
            chain, front = make_chain(options.tool, seed, family, blocks, modes)
            # The loosest budget is easy for everybody.
            points = front[:-1] or front
            for point in random.Random(seed).sample(points, min(budgets, len(points))):
                comparison.compare(chain, *point)
        if comparison.counts["instances"]:
            comparison.report(f"{family}, {blocks} blocks, {modes} modes")
        checked, solved = checked + comparison.counts["instances"], solved + comparison.counts["solved"]
        faults += comparison.faults
    print(f"{checked} instances, {solved} solved to the end, {len(faults)} faults")
    # Most must have been solved, or the test says nothing.
    if solved < 0.8 * checked:
        faults.append("too many instances were not solved in time")
    return faults


def compare_commands(options, folder):
    comparison = Comparison(options.seerc, folder, 0)
    for seed in range(4 if options.size == "quick" else 40):
        family = ("random", "regnet")[seed % 2]
        comparison.check_front(*make_chain(options.tool, seed, family, 2 + seed % 4, 3, "all"))
    print(f"with parameters and offload: {comparison.counts['budgets']} budgets, {len(comparison.faults)} faults")
    return comparison.faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", required=True)
    parser.add_argument("--seerc")
    parser.add_argument("size", choices=("quick", "full"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        faults = compare_sizes(options, folder)
        if options.seerc:
            faults += compare_commands(options, folder)
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
