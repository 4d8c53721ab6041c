#!/usr/bin/env python3
"""Sets other projects' approximate indexes beside ours: the same rows, queries and processors, one index after another.

Ours is measured first, by `stormproof-bench recall`. Each peer then has a process of its own, so its memory and its processor
time are nobody else's. As `recall` does, the first half of the queries goes ahead and the other half is what is reported.
Exit codes: 0 all was measured, or skipped by name; 2 wrong use, or a file that makes no sense; 3 a tool failed.
"""

import argparse
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    import numpy as np
except ImportError:  # --help and --check do without.
    np = None

K = 10
LISTS = [10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768]  # widths of a search in a graph, ours among them
PROBES = [1, 2, 4, 8, 16, 32, 64, 128, 256]
RECALLS = [0.95, 0.97, 0.99]
ENOUGH = 0.999  # a wider search tells nothing more of the recalls above
BLOCK_ROWS = 16384
WORKER = "peer-alone"  # the argument by which a process knows that it measures one peer
DIFFERS = [
    "ours goes through the store: rows were committed in transactions to a disk before the build, which writes its graph to the"
    " disk; a search asks a server thread, reads full vectors from the store, and answers with whole records",
    "ours links its graph by short codes of the vectors; of the peers' graphs all are linked by the vectors themselves",
    "ours: CPU of the build is the whole process and its jobs'; memory is the whole process, with pages of files it has mapped",
    "peers: libraries without transactions or recovery, called from Python one query at a time, which is in their times;"
    " memory is what the process has grown by since its imports, the rows it was given not counted",
    "diskann: its index in memory; that it writes it to a disk first is in its build. diskann-disk: its index on disk, with codes in"
    " memory, nothing cached beforehand; it reads around the page cache",
    "one pass of the queries at each width: p99 of a few hundred calls is the slowest few of them",
    "the graphs have the settings shown, which are not of equal size; where other work runs beside, compare CPU, not seconds",
]


class Wrong(Exception):
    """Wrong use, or a file that is missing or malformed."""


class Failed(Exception):
    """A tool failed."""


# Each peer takes the rows, the job and a directory for files, and returns its settings in words, the name of its search
# parameter, the values to try, how to set one, and how to ask. Building is done when it returns.


def setter(of, name):
    return lambda value: setattr(of, name, value)


def hnswlib(rows, job, _dir):
    import hnswlib as library

    index = library.Index("l2", rows.shape[1])
    index.init_index(len(rows), M=16, ef_construction=200)
    index.add_items(rows, num_threads=job["threads"])
    return "M 16, efConstruction 200", "ef", LISTS, index.set_ef, lambda q: index.knn_query(q, K, num_threads=1)[0][0]


def faiss_hnsw(rows, job, _dir):
    import faiss

    faiss.omp_set_num_threads(job["threads"])
    index = faiss.IndexHNSWFlat(rows.shape[1], 32)
    index.hnsw.efConstruction = 200
    index.add(rows)
    faiss.omp_set_num_threads(1)
    return "M 32, efConstruction 200", "efSearch", LISTS, setter(index.hnsw, "efSearch"), lambda q: index.search(q, K)[1][0]


def faiss_ivf(rows, job, _dir):
    import faiss

    faiss.omp_set_num_threads(job["threads"])
    # Four times the root is usual; each list wants 39 rows to be trained by, or the library complains.
    lists = max(1, min(int(4 * len(rows) ** 0.5), len(rows) // 39))
    index = faiss.index_factory(rows.shape[1], f"IVF{lists},SQ8")
    index.train(rows)
    index.add(rows)
    faiss.omp_set_num_threads(1)
    probes = [count for count in PROBES if count < lists] + ([lists] if lists <= PROBES[-1] else [])
    return f"{lists} lists, 8 bits a component", "nprobe", probes, setter(index, "nprobe"), lambda q: index.search(q, K)[1][0]


def usearch(rows, job, _dir):
    from usearch.index import Index

    index = Index(ndim=rows.shape[1], metric="l2sq", dtype="f32", connectivity=16, expansion_add=200)
    index.add(np.arange(len(rows), dtype=np.uint64), rows, threads=job["threads"])
    settings, choose = "connectivity 16, expansion_add 200, f32", setter(index, "expansion_search")
    return settings, "expansion", LISTS, choose, lambda q: index.search(q[0], K, threads=1).keys


def diskann(rows, job, dir):
    import diskannpy as library

    library.build_memory_index(rows, "l2", dir, complexity=100, graph_degree=64, num_threads=job["threads"])
    index = library.StaticMemoryIndex(dir, num_threads=1, initial_search_complexity=LISTS[-1])
    chosen = {}  # This one is told the width with each query.
    choose = lambda width: chosen.update(complexity=width)
    return "degree 64, complexity 100", "complexity", LISTS, choose, lambda q: index.search(q[0], K, **chosen).identifiers


def diskann_disk(rows, job, dir):
    import diskannpy as library

    # As much memory for codes as ours takes: half a byte a component, in steps of 64. More takes long to train.
    code_bytes = -(-rows.shape[1] // 128) * 64
    settings = {"complexity": 100, "graph_degree": 64, "build_memory_maximum": 4.0}
    settings["search_memory_maximum"] = len(rows) * code_bytes / 2**30
    library.build_disk_index(rows, "l2", dir, num_threads=job["threads"], **settings)
    # With room for one thread, version 0.7.0 waits for another for ever. A query is asked by one all the same.
    index = library.StaticDiskIndex(dir, num_threads=2, num_nodes_to_cache=0)
    chosen = {}
    choose = lambda width: chosen.update(complexity=width)
    ask = lambda q: index.search(q[0], K, beam_width=4, **chosen).identifiers
    return f"degree 64, complexity 100, codes of {code_bytes} bytes at most, beam 4", "complexity", LISTS, choose, ask


PEERS = {  # name: library, how it is built
    "hnswlib": ("hnswlib", hnswlib),
    "faiss-hnsw": ("faiss-cpu", faiss_hnsw),
    "faiss-ivf-sq8": ("faiss-cpu", faiss_ivf),
    "usearch": ("usearch", usearch),
    "diskann": ("diskannpy", diskann),
    "diskann-disk": ("diskannpy", diskann_disk),
}


def rows_of(path, kind, limit=None):
    """The rows of an .fvecs or .ivecs file, not yet read: each begins with the number of its components."""
    size = os.path.getsize(path)
    if size < 8:
        raise Wrong(f"{path}: a row of 8 bytes at least expected, found {size} bytes")
    dim = int(np.fromfile(path, "<i4", 1)[0])
    if dim < 1 or size % (4 * (dim + 1)):
        raise Wrong(f"{path}: rows of {dim} components expected, as its first 4 bytes say; found {size} bytes, not a multiple")
    table = np.memmap(path, "<i4", "r").reshape(-1, dim + 1)[:limit]
    odd = np.flatnonzero(table[:, 0] != dim)
    if len(odd):
        raise Wrong(f"{path}: row {odd[0]}: {dim} components expected, found {table[odd[0], 0]}")
    return table[:, 1:].view(kind)


def exact(base, queries):
    """The nearest rows of each query; of rows that are equally far those with the lowest numbers, as `recall` has it."""
    near = np.empty((len(queries), 0), np.int64)
    far = np.empty((len(queries), 0), np.float32)
    for first in range(0, len(base), BLOCK_ROWS):
        block = np.ascontiguousarray(base[first : first + BLOCK_ROWS])
        far = np.hstack([far, (block * block).sum(1) - 2 * (queries @ block.T)])
        near = np.hstack([near, np.broadcast_to(np.arange(first, first + len(block)), (len(queries), len(block)))])
        # More than are wanted are kept, since these sums are rough; what is kept is compared exactly below.
        best = np.argsort(far, axis=1, kind="stable")[:, : 4 * K]
        near, far = np.take_along_axis(near, best, 1), np.take_along_axis(far, best, 1)
    for query, ids in zip(queries.astype(np.float64), near):
        distances = ((base[ids].astype(np.float64) - query) ** 2).sum(1)
        ids[:] = ids[np.lexsort((ids, distances))]
    return near[:, :K]


def cpu_s():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def worker(job_path):
    """Measures one peer, in a process of its own. It answers in a file, since some of these libraries print a lot."""
    job = json.loads(Path(job_path).read_text())
    library, build = PEERS[job["peer"]]
    try:
        found = version(library)
        __import__(library.removesuffix("-cpu"))
    except (PackageNotFoundError, ImportError) as error:
        return Path(job["answer"]).write_text(json.dumps({"skipped": f"{library} cannot be imported: {error}"}))
    resident_before = resident()
    rows = np.ascontiguousarray(rows_of(job["base"], "<f4", job["rows"]))
    queries = np.ascontiguousarray(rows_of(job["query"], "<f4", job["queries"]))
    half, truth = len(queries) // 2, [set(ids) for ids in np.load(job["truth"]).tolist()]
    with tempfile.TemporaryDirectory(dir=job["dir"]) as dir:
        begun, cpu_before = time.perf_counter(), cpu_s()
        settings, parameter, values, choose, ask = build(rows, job, dir)
        build_s, build_cpu_s = time.perf_counter() - begun, cpu_s() - cpu_before
        del rows
        ctypes.CDLL(None).malloc_trim(0)  # What was freed is not the index.
        memory, sweep = resident() - resident_before, []
        for value in values:
            choose(value)
            for nth in range(half):
                ask(queries[nth : nth + 1])
            times, hits = [], 0
            for nth, wanted in enumerate(truth, half):
                query = queries[nth : nth + 1]
                asked = time.perf_counter_ns()
                answer = ask(query)
                times.append((time.perf_counter_ns() - asked) / 1e3)
                hits += len(wanted.intersection(answer.tolist()))
            p50_us, p99_us = (float(np.percentile(times, at, method="inverted_cdf")) for at in (50, 99))
            sweep.append({"value": value, "recall": hits / (K * len(truth)), "p50_us": p50_us, "p99_us": p99_us})
            if sweep[-1]["recall"] >= ENOUGH:
                break
        measured = {"version": found, "settings": settings, "parameter": parameter}
        measured |= {"build_s": build_s, "build_cpu_s": build_cpu_s, "memory": memory, "sweep": sweep}
        Path(job["answer"]).write_text(json.dumps(measured))


def measure_peer(name, job, args):
    library = PEERS[name][0]
    if library in args.without:
        return {"skipped": args.without[library]}
    answer, path = Path(job["dir"], f"{name}.json"), Path(job["dir"], f"{name}.job")
    path.write_text(json.dumps(job | {"peer": name, "answer": str(answer)}))
    python = args.diskann_python if library == "diskannpy" and args.diskann_python else sys.executable
    many = {name: str(args.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    try:
        done = subprocess.run([python, __file__, WORKER, str(path)], stdout=subprocess.DEVNULL, env=os.environ | many)
    except OSError as error:
        return {"failed": f"{python}: {error.strerror}"}
    if done.returncode < 0:
        return {"failed": f"ended by {signal.Signals(-done.returncode).name}"}
    if done.returncode or not answer.exists():
        return {"failed": f"exit code {done.returncode}, see above"}
    return json.loads(answer.read_text())


def measure_ours(args, dir):
    """Asks `stormproof-bench recall`, and puts its report the way those of peers are."""
    program = [args.ours] if args.ours else "cargo run --release --locked --quiet -p stormproof-bench --".split()
    report = Path(dir, "ours.json")
    command = [*program, "recall", "--base", args.base, "--query", args.query, "--rows", args.rows, "--queries", args.queries]
    command += ["--k", K, "--complexity", ",".join(map(str, LISTS)), "--clients", 1, "--turn-ms", 1000]
    command += ["--threads", args.threads, "--dir", dir, "--json", report]
    command += ["--truth", args.truth] if args.truth else []
    here = None if args.ours else Path(__file__).resolve().parent  # cargo looks for the workspace from here upwards
    try:
        done = subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, cwd=here)
    except OSError as error:
        raise Failed(f"{program[0]}: {error.strerror}") from error
    if done.returncode:
        raise (Wrong if done.returncode == 2 else Failed)(f"stormproof-bench: exit code {done.returncode}, see above")
    report = json.loads(report.read_text())
    if report["schema"] != 1:
        raise Failed(f"stormproof-bench: a report of schema 1 expected, found {report['schema']}")
    phases, queries = {it["name"]: it for it in report["phases"]}, report["queries"]
    tuning = report["parameters"]["tuning"]
    build = phases["rebuild"]
    if build["seconds"] is None:
        raise Failed(f"the engine has built no archive: {build['skipped']}")
    # An older program does not tell the middle and the processor time; then there is no ratio to it.
    point = lambda it: {"value": it["complexity"]} | {what: it.get(what) for what in ("recall", "p50_us", "p99_us")}
    sweep = [point(it) for it in queries["curve"]]
    settings = f"degree {tuning['graph_degree']}, complexity {tuning['graph_complexity']}"
    measured = {"version": report["machine"]["stormproof"], "settings": settings, "parameter": "complexity"}
    measured |= {"build_s": build["seconds"], "build_cpu_s": build.get("cpu_s"), "memory": queries["memory"]["resident"]}
    measured |= {"sweep": sweep, "load_s": phases["load"]["seconds"], "by_archive": queries["by_archive"]}
    return measured, report["machine"]


def at_recall(sweep, recall):
    """What a query takes at a recall, between the two neighbours of the sweep that have it between them; otherwise why not."""
    for low, high in zip(sweep, sweep[1:]):
        if low["recall"] <= recall <= high["recall"] and low["recall"] < high["recall"]:
            if low["p50_us"] is None:
                return {"not_known": "not told"}
            share = (recall - low["recall"]) / (high["recall"] - low["recall"])
            return {which: low[which] + share * (high[which] - low[which]) for which in ("p50_us", "p99_us")}
    # Where even the narrowest search finds more, nothing is bracketed either, and that is not the same.
    return {"not_known": "all above" if sweep[0]["recall"] > recall else "not reached"}


def table(report):
    ours, ratio = report["indexes"]["ours"], lambda a, b: f"{a / b:.2f}x" if a and b else "-"
    number = lambda it, digits=0: "-" if it is None else f"{it:,.{digits}f}"
    lines = [f"{'':<15}{'build s':>9}{'CPU s':>9}{'to ours':>9}{'MiB':>9}  parameter          recall  settings"]
    for name, it in report["indexes"].items():
        if "sweep" not in it:
            lines.append(f"{name:<15}  {'; '.join(f'{what}: {why}' for what, why in it.items())}")
            continue
        first, last = it["sweep"][0], it["sweep"][-1]
        asked = f"{it['parameter']} {first['value']}-{last['value']}"
        mib = it["memory"] / 2**20 if it["memory"] else None
        line = f"{name:<15}{number(it['build_s'], 1):>9}{number(it['build_cpu_s'], 1):>9}"
        line += f"{ratio(it['build_cpu_s'], ours['build_cpu_s']):>9}{number(mib):>9}  {asked:<18} "
        lines.append(line + f"{first['recall']:.3f}-{last['recall']:.3f}  {it['settings']}")
    measured = {name: it for name, it in report["indexes"].items() if "sweep" in it}
    lines += ["", f"{'':<15}" + "".join(f"{f'p50 us at {recall}':>17}{'to ours':>9}{'p99 us':>9}" for recall in RECALLS)]
    for name, it in measured.items():
        line = f"{name:<15}"
        for recall in map(str, RECALLS):
            found, of_ours = it["at_recall"][recall], ours["at_recall"][recall]
            p50 = found.get("not_known") or number(found["p50_us"])
            line += f"{p50:>17}{ratio(found.get('p50_us'), of_ours.get('p50_us')):>9}{number(found.get('p99_us')):>9}"
        lines.append(line)
    return "\n".join(lines)


def positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a number, 1 at least, expected")
    return int(text)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", help="a directory with NAME_base.fvecs, NAME_query.fvecs and perhaps NAME_groundtruth.ivecs")
    parser.add_argument("--rows", metavar="N", type=positive, help="rows of the base at most; exact answers are then found anew")
    parser.add_argument("--queries", metavar="N", type=positive, default=1000, help="queries at most (1000)")
    parser.add_argument("--threads", metavar="N", type=positive, help="processors that may be used, by ours too (all)")
    parser.add_argument("--ours", metavar="BIN", type=os.path.abspath, help="stormproof-bench, if cargo is not to build it")
    parser.add_argument("--dir", metavar="D", type=os.path.abspath, default=".", help="where all is made for the time of the run")
    parser.add_argument("--json", metavar="F", help="write all that was measured")
    parser.add_argument("--diskann-python", metavar="P", help="an interpreter that has diskannpy, which takes an old numpy")
    parser.add_argument("--without", metavar="LIBRARY=WHY", action="append", default=[], help="leave one out")
    parser.add_argument("--check", action="store_true", help="only check the arguments")
    args = parser.parse_args()
    for part, name in (("base", "base.fvecs"), ("query", "query.fvecs"), ("truth", "groundtruth.ivecs")):
        found = sorted(Path(args.set).glob(f"*_{name}"))
        if len(found) > 1 or not found and part != "truth":
            raise Wrong(f"{args.set}: one file *_{name} expected, found {len(found)}")
        setattr(args, part, os.path.abspath(found[0]) if found else None)
    if args.ours and not os.path.isfile(args.ours):
        raise Wrong(f"{args.ours}: no such file")
    if not os.path.isdir(args.dir):
        raise Wrong(f"{args.dir}: no such directory")
    args.without = dict(it.partition("=")[::2] for it in args.without)
    unknown = args.without.keys() - {library for library, _ in PEERS.values()}
    if unknown:
        raise Wrong(f"--without: no library {', '.join(unknown)}")
    return args


def compare(args):
    # All that is started is bound by this, and both ours and the peers start as many threads as there are processors.
    processors = sorted(os.sched_getaffinity(0))[: args.threads]
    os.sched_setaffinity(0, processors)
    args.threads = len(processors)
    base, queries = rows_of(args.base, "<f4"), np.ascontiguousarray(rows_of(args.query, "<f4", args.queries))
    given, args.rows, args.queries = len(base), min(args.rows or len(base), len(base)), len(queries)
    if base.shape[1] != queries.shape[1] or args.queries < 2 or args.rows < 4 * K:
        found = f"{args.rows} of {base.shape[1]} and {args.queries} of {queries.shape[1]}"
        raise Wrong(f"{4 * K} rows and 2 queries with as many components expected, found {found}")
    half = args.queries // 2
    with tempfile.TemporaryDirectory(dir=args.dir, prefix="stormproof-peers-") as dir:
        print("measuring ours", file=sys.stderr)
        ours, machine = measure_ours(args, dir)
        if args.truth and args.rows == given:
            truth = rows_of(args.truth, "<i4", args.queries)[half:, :K]
            if truth.shape != (args.queries - half, K) or truth.min() < 0 or truth.max() >= args.rows:
                raise Wrong(f"{args.truth}: {K} row numbers below {args.rows} for each of {args.queries} queries expected")
        else:
            print("finding exact answers", file=sys.stderr)
            truth = exact(base[: args.rows], queries[half:])
        np.save(Path(dir, "truth.npy"), truth)
        job = {key: getattr(args, key) for key in ("base", "query", "rows", "queries", "threads")}
        job |= {"truth": str(Path(dir, "truth.npy")), "dir": dir}
        indexes = {"ours": ours}
        for name in PEERS:
            print(f"measuring {name}", file=sys.stderr)
            indexes[name] = measure_peer(name, job, args)
    for it in indexes.values():
        if "sweep" in it:
            it["at_recall"] = {str(recall): at_recall(it["sweep"], recall) for recall in RECALLS}
    notes = [*DIFFERS, f"ours: {ours['load_s']:.1f} s to load the rows, which is not in its build"]
    if ours["by_archive"] < 1:
        notes.append(f"ours: only {ours['by_archive']:.0%} of the queries went by the graph; the others compared every row")
    data = {"base": os.path.basename(args.base), "rows": args.rows, "dim": base.shape[1], "queries": args.queries - half, "k": K}
    return {"schema": 1, "data": data, "machine": machine, "threads": args.threads, "indexes": indexes, "notes": notes}


def main():
    try:
        if sys.argv[1:2] == [WORKER]:
            worker(sys.argv[2])
            return 0
        args = arguments()
        if args.check:
            return 0
        if np is None:
            raise Failed("numpy is missing; compare.sh makes an environment that has it")
        report = compare(args)
        data, machine = report["data"], report["machine"]
        print(f"{data['rows']:,} rows of {data['dim']} from {data['base']}; {data['queries']} queries measured, recall@{K}")
        print(f"{report['threads']} processors ({machine['cpu']}) build, one client asks\n\n{table(report)}\n")
        print("\n".join(f"- {note}" for note in report["notes"]))
        if args.json:
            Path(args.json).write_text(json.dumps(report, indent=2) + "\n")
        return 3 if any("failed" in it for it in report["indexes"].values()) else 0
    except Wrong as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    except (Failed, OSError) as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
