"""`data.keep` in trainers: they train on the pictures that are kept and no others, by one rank or two, stopped, killed
and resumed, as they would on an index of those pictures alone; what cannot be is refused."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

from common import expect, finish, scratch
from shards import listed, picture, seerc, write

SEERC = sys.argv[3]
STEPS, BATCH = 14, 8
SPEC = """model { family = regnetx depths = [1] widths = [8] group_widths = [8] stem_width = 8 }
swav { prototypes = 8 head = [16, 8] freeze_prototypes = 0 }
views { crops = [crop(count = 2, size = 32px)] }
cluster { worlds = [2] }
train { batch = 8 steps = %d reproducible = yes slices = 2 }
save { every = 1 keep = 100 }
log { tensorboard = no }
""" % STEPS
CONDITION = "country not in eu and (width > 16px or not old)"


def build(root, name, *words):
    run = subprocess.run([SEERC, "build", f"{root}/spec.seer", "-o", f"{root}/{name}", *words], capture_output=True,
                         text=True, env=os.environ | {"OPTIMIZE": "-O1"})
    if run.returncode != 0:
        raise SystemExit(f"seerc build {words}: {run.stderr[-3000:]}")
    return f"{root}/{name}"


def train(trainer, *words, ranks=1, code=0):
    launcher = ["mpirun.mpich", "-n", str(ranks)] if ranks > 1 else []
    run = subprocess.run([*launcher, trainer, *words], capture_output=True, text=True)
    expect(run.returncode == code, f"{words} on {ranks}: exit {run.returncode}, not {code}: {run.stderr[-1500:]}")
    return run.stdout + run.stderr


def seen(run):
    """The pictures of each step, over all ranks."""
    steps = {}
    for name in ("pictures.jsonl", "pictures-rank1.jsonl"):
        for line in open(f"{run}/{name}") if os.path.exists(f"{run}/{name}") else ():
            entry = json.loads(line)
            steps.setdefault(entry["step"], []).append(entry["pictures"])
    return steps


def weights(run):
    """Of the last snapshot, exported: one file whatever the ranks."""
    subprocess.run([TRAINER, "export", run, "--all", "--out", f"{run}.safetensors", "--quiet"], check=True)
    with open(f"{run}.safetensors", "rb") as file:
        content = file.read()
    header = int.from_bytes(content[:8], "little")
    return content[8 + header:]


def make_pictures(root):
    generator = random.Random(4)
    rows = ["path,country,year"]
    for i in range(60):
        image = picture(i, (generator.choice([16, 24, 32]), 20), "PNG")
        write(f"{root}/photos/{i:02}.png", image)
        country, year = generator.choice(["FR", "deu", "US", "us", "BR", ""]), generator.choice([1985, 1995, ""])
        rows.append(f"photos/{i:02}.png,{country},{year}")
    write(f"{root}/m.csv", "\n".join(rows) + "\n")
    seerc("index", f"{root}/m.csv", "-o", f"{root}/m.index")
    seerc("split", "--keep", f"{CONDITION.replace('old', 'year < 1990')}", "--parts", "kept=1", f"{root}/m.index")
    write(f"{root}/spec.seer", f'let old = year < 1990\ndata {{ pictures = "{root}/m.index"  keep = {CONDITION} }}\n'
          + SPEC)


def check_pictures(root, kept):
    told = train(TRAINER, "--out", f"{root}/one", "--list-pictures")
    expect(f"kept {len(kept)} of 60: " in told and "of unknown country" in told, f"what is printed: {told[:500]}")
    run = json.load(open(f"{root}/one/run.json"))
    expect(run["pictures"] == len(kept), f"run.json: {run['pictures']} pictures")
    keep = run["keep"]
    expect(keep["pictures"] == 60 == keep["kept"] + keep["dropped"] + keep["unknown"] and keep["kept"] == len(kept),
           f"run.json: {keep}")
    terms = {term["term"]: term for term in keep["terms"]}
    expect(list(terms)[1:] == ["width > 16", "year < 1990"] and terms["width > 16"]["unknown"] == 0, f"terms: {terms}")
    order = [p for step, batches in sorted(seen(f"{root}/one").items()) for batch in batches for p in batch]
    epoch = len(kept) // BATCH * BATCH
    expect(len(order) == STEPS * BATCH and set(order) <= set(range(len(kept))), "numbers of the kept alone")
    for begin in range(0, len(order) - epoch + 1, epoch):
        expect(len(set(order[begin:begin + epoch])) == epoch, f"each once in the epoch from {begin}")
    # The same as on an index that has no others.
    train(PLAIN, "--out", f"{root}/plain", "--list-pictures", "--data", f"{root}/kept.index")
    expect(seen(f"{root}/plain") == seen(f"{root}/one"), "order of an index of the kept alone")
    expect(weights(f"{root}/plain") == weights(f"{root}/one"), "weights of an index of the kept alone")
    again = json.load(open(f"{root}/plain/run.json"))
    expect("keep" not in again, "a run of all pictures says nothing of it")


def check_goes_on(root):
    """Stopped, killed, on other ranks: the same bits."""
    wanted = weights(f"{root}/one")
    train(TRAINER, "--out", f"{root}/two", "--list-pictures", ranks=2)
    expect(weights(f"{root}/two") == wanted, "two ranks")
    ours, theirs = seen(f"{root}/one"), seen(f"{root}/two")
    expect(all(sum(ours[step], []) == sum(theirs[step], []) for step in ours), "two ranks: pictures")
    train(TRAINER, "--out", f"{root}/stopped", "--stop-after", "3", code=75)
    train(TRAINER, "--resume", f"{root}/stopped", "--stop-after", "4", ranks=2, code=75)
    train(TRAINER, "--resume", f"{root}/stopped")
    expect(weights(f"{root}/stopped") == wanted, "stopped and resumed")
    for attempt in range(20):
        process = subprocess.Popen([TRAINER, "--out", f"{root}/killed", *(["--resume"] if attempt else []), "--quiet"],
                                   stderr=subprocess.DEVNULL)
        time.sleep(0.05 + 0.01 * attempt)
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
    if process.returncode != 0:
        resumed = os.path.exists(f"{root}/killed/run.json")
        train(TRAINER, "--out", f"{root}/killed", *(["--resume"] if resumed else []))
    expect(weights(f"{root}/killed") == wanted, "killed and resumed")


def check_refused(root, other):
    shutil.copytree(f"{root}/one", f"{root}/copy")
    for trainer, now in ((other, "country == US"), (PLAIN, "all")):
        told = train(trainer, "--resume", f"{root}/copy", "--steps", "20", code=1)
        expect(f"this trainer has data.keep = {now}\n" in told and "country not in [AT," in told, f"another: {told}")
    train(PLAIN, "--out", f"{root}/whole", "--stop-after", "1", "--data", f"{root}/m.index", code=75)
    told = train(TRAINER, "--resume", f"{root}/whole", code=1)
    expect("started with data.keep = all, this trainer has data.keep = country" in told, f"a run of all: {told}")
    told = train(TRAINER, "--out", f"{root}/none", "--data", f"{root}/photos", code=1)
    expect("no index tells" in told and "seerc data index" in told, f"a folder: {told}")
    write(f"{root}/n.csv", "path,country\n" + "".join(f"photos/{i:02}.png,US\n" for i in range(60)))
    seerc("index", f"{root}/n.csv", "-o", f"{root}/n.index")
    told = train(TRAINER, "--out", f"{root}/none", "--data", f"{root}/n.index", code=1)
    expect("asks for column 'year'" in told and "its columns are country, label" in told, f"a column less: {told}")
    write(f"{root}/o.csv", "path,country,year\n" + "".join(f"photos/{i:02}.png,FR,1990\n" for i in range(60)))
    seerc("index", f"{root}/o.csv", "-o", f"{root}/o.index")
    told = train(TRAINER, "--out", f"{root}/none", "--data", f"{root}/o.index", code=1)
    expect("no picture is kept by" in told and "kept 0 of 60: 60 dropped" in told, f"none is kept: {told}")
    told = train(TRAINER, "doctor", "--data", f"{root}/o.index", code=1)
    expect("no picture is kept" in told, f"doctor: {told}")
    told = train(TRAINER, "report", f"{root}/one")
    expect("report:" in told, f"report: {told}")


with scratch() as folder:
    folder = os.path.realpath(folder)
    make_pictures(folder)
    TRAINER = build(folder, "trainer")
    PLAIN = build(folder, "plain-trainer", "-D", "data.keep=all")
    check_pictures(folder, listed(f"{folder}/kept.index"))
    check_goes_on(folder)
    check_refused(folder, build(folder, "other", "-D", "data.keep=country == US"))
finish("trainers that keep some pictures")
