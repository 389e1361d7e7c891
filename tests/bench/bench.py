#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the cases of bench_store and of the peer, and prints the tables of docs/benchmarks.md.

usage: bench.py BENCH_STORE JETFS PEER_BENCH|- WORK_DIR RUNS GROUP...

Each case is a process of its own, ours and the peer's by turns; medians of RUNS (a case that fails
or takes longer than SLOW seconds is not repeated). Every line that was measured goes to WORK_DIR/results.jsonl. The tables go to standard output, what is going on to
standard error. Exit status 1 when a case failed (a wrong count is a failure)."""

import json
import mmap
import os
import shutil
import statistics
import subprocess
import sys
import time

from rows import CHECKS, COMMANDS, DATA, GROUPS, ROWS, STORED

TIME_LIMIT = 120  # seconds a case may take
SLOW = float(os.environ.get('BENCH_SLOW', 20))  # a case that takes longer is not repeated
STREAM = 'jetstream/$G/streams/BENCH'  # the peer's data sets are stores as well


def touch_memory():
    """The first touch of a page of a virtual machine's memory can cost ten times what filling it does, and
    pages that are free for a while may go back to the host: whoever ran after another would gain."""
    size = 1 << 30
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        memory[::4096] = bytes(size // 4096)


class Bench:
    def __init__(self, ours, jetfs, peer, work, runs):
        self.ours, self.jetfs, self.work, self.runs = ours, jetfs, work, runs
        self.not_built = set()  # lines of workloads and options that this program does not have
        self.peer = None if peer == '-' else peer
        self.results = {}  # (side, data, line): [record]
        self.failures = []
        self.slow = set()
        os.makedirs(work, exist_ok=True)
        self.log = open(os.path.join(work, 'results.jsonl'), 'w')

    # ---- one process ----

    def start(self, side, case, path, data, **more):
        options = {'n': 1000000, 'subjects': 1, 'size': 128}
        options.update({k: v for k, v in DATA[data].items() if k != 'peer_only'})
        options.update(more)
        env = None
        if side == 'ours':
            options.pop('cipher', None), options.pop('comp', None)
            options.pop('matches', None)
            command = [self.ours, case, path] + [f'{k}={v}' for k, v in options.items()]
        else:
            options.pop('batch', None)
            env = dict(os.environ, PB_CASE=case, PB_DIR=os.path.join(path, STREAM))
            env.update({'PB_' + k.upper(): str(v) for k, v in options.items()})
            command = [self.peer, '-test.run', '^TestPeerBench$', '-test.timeout', '20m']
        touch_memory()
        begin = time.time()
        try:
            done = subprocess.run(command, env=env, capture_output=True, text=True,
                                  timeout=TIME_LIMIT)
            status, out, err = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired:
            status, out, err = -1, '', f'stopped after {TIME_LIMIT} s'
        print(f'  {side} {data} {case}: {time.time() - begin:.1f} s', file=sys.stderr)
        if status != 0:
            text = (err.strip() or out.strip())[-600:]
            self.failures.append(f'{side} {data} {case}: {text}')
            print(f'FAILED: {self.failures[-1]}', file=sys.stderr)
            return []
        if err.strip():
            print(err.strip(), file=sys.stderr)
        records = []
        for line in out.splitlines():
            line = line.removeprefix('PBRESULT ')
            if line.startswith('{'):
                records.append(json.loads(line))
        return records

    def measure(self, side, case, path, data, line=None, **more):
        key = (side, data, case, line)
        if key in self.slow:
            return
        begin = time.time()
        records = self.start(side, case, path, data, **more)
        if time.time() - begin > SLOW or not records:
            self.slow.add(key)
        for record in records:
            name = line or record['case']
            self.results.setdefault((side, data, name), []).append(record)
            self.log.write(json.dumps(dict(record, side=side, data=data, line=name)) + '\n')
            self.log.flush()

    def sides(self):
        return ['ours', 'peer'] if self.peer else ['ours']

    # ---- data sets ----

    def path(self, side, data):
        """Where a data set lies; some are the peer's for both."""
        if side == 'ours' and DATA[data].get('peer_only'):
            side = 'peer'
        return os.path.join(self.work, 'data', side, data)

    def have(self, side, data):
        return side == 'peer' and self.peer or not DATA[data].get('peer_only') or self.peer

    def fill(self, side, data):
        """Writes a data set; the peer's are kept from run to run."""
        if side == 'ours' and DATA[data].get('peer_only'):
            return
        path = self.path(side, data)
        stamp = path + '.complete'
        if side == 'peer' and os.path.exists(stamp) and \
                os.path.getmtime(stamp) > os.path.getmtime(self.peer):
            for folder, _, names in os.walk(path):  # warm the page cache
                for name in names:
                    with open(os.path.join(folder, name), 'rb') as file:
                        while file.read(1 << 20):
                            pass
            return
        shutil.rmtree(path, ignore_errors=True)
        if os.path.exists(stamp):
            os.unlink(stamp)
        os.makedirs(os.path.dirname(os.path.join(path, STREAM)) if side == 'peer' else
                    os.path.dirname(path), exist_ok=True)
        if self.start(side, 'fill', path, data, **({'flush': 'async'} if side == 'peer' else {})):
            open(stamp, 'w').close()

    def variant(self, side, data, what):
        """A copy whose index.db is missing or older than the last block. Blocks but the last are
        linked, as nobody changes them."""
        source, copy = self.path(side, data), os.path.join(self.work, 'data', f'{side}-variant')
        shutil.rmtree(copy, ignore_errors=True)
        for folder, _, names in os.walk(source):
            to = os.path.join(copy, os.path.relpath(folder, source))
            os.makedirs(to, exist_ok=True)
            os.chmod(to, 0o700)
            blocks = sorted((int(n[:-4]) for n in names if n.endswith('.blk')), reverse=True)
            for name in names:
                sealed = name.endswith('.blk') and int(name[:-4]) != blocks[0]
                (os.link if sealed else shutil.copy2)(os.path.join(folder, name),
                                                      os.path.join(to, name))
        [index] = [os.path.join(folder, 'index.db') for folder, _, names in os.walk(copy)
                   if 'index.db' in names]
        if what == 'no_index':
            os.unlink(index)
        elif what == 'crash' and side == 'ours':
            with open(index, 'rb') as file:
                old = file.read()
            self.start('ours', 'append', copy, data, n=10)
            with open(index, 'wb') as file:
                file.write(old)
        elif what == 'crash':
            self.start('peer', 'crash', copy, data)
        return copy

    # ---- groups ----

    def run_store(self):
        for name, options in STORED.items():
            for side in self.sides():
                path = os.path.join(self.work, 'data', f'{side}-stored')
                shutil.rmtree(path, ignore_errors=True)
                self.measure(side, 'fill', path, options['data'], line=name,
                             **{k: v for k, v in options.items() if k != 'data'})
                shutil.rmtree(path, ignore_errors=True)

    def run_checks(self, group):
        for data, ours, peers, more in CHECKS[group]:
            for side, cases in (('ours', ours), ('peer', peers)):
                if side == 'peer' and not self.peer or not self.have(side, data):
                    continue
                for case in cases:
                    self.measure(side, case, self.path(side, data), data, **more)

    def run_open(self):
        for data, kinds in CHECKS['open']:
            for side in self.sides():
                if not self.have(side, data):
                    continue
                for kind in kinds:
                    n = DATA[data].get('n', 1000000)
                    if kind == 'index':
                        path = self.path(side, data)
                    else:
                        path = self.variant(side, data, kind)
                    self.measure(side, 'open', path, data, line=f'open_{kind}',
                                 expect=n + 10 if kind == 'crash' else n)

    def run_command(self, words, line):
        """One run of `jetfs bench`; its cases become lines."""
        key = ('ours', 'bench', words[0], line)
        if key in self.slow or key in self.not_built:
            return
        touch_memory()
        begin = time.time()
        command = [self.jetfs, 'bench', words[0], os.path.join(self.work, 'data')] + words[1:] + \
            ['--runs', '1', '--json']
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT)
            status, out, err = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired:
            status, out, err = -1, '', f'stopped after {TIME_LIMIT} s'
        took = time.time() - begin
        print(f'  jetfs bench {" ".join(words)}: {took:.1f} s', file=sys.stderr)
        if 'no such workload' in err or 'unknown option' in err or 'not built' in err:
            self.not_built.add(key)
            return
        if took > SLOW:
            self.slow.add(key)
        if status != 0:
            self.slow.add(key)
            self.failures.append(f'jetfs bench {" ".join(words)}: {err.strip()[-600:]}')
            return
        for case in json.loads(out)['cases']:
            name = line or case['case']
            self.results.setdefault(('ours', 'bench', name), []).append(case)
            self.log.write(json.dumps(dict(case, side='ours', data='bench', line=name)) + '\n')

    def run_change(self):
        os.makedirs(os.path.join(self.work, 'data'), exist_ok=True)
        for words, line, peer_case, options in COMMANDS:
            if words:
                self.run_command(words, line)
            if not peer_case or not self.peer:
                continue
            path = os.path.join(self.work, 'data', 'peer-changed')
            shutil.rmtree(path, ignore_errors=True)
            if peer_case == 'fill':
                os.makedirs(os.path.dirname(os.path.join(path, STREAM)))
            else:
                shutil.copytree(self.path('peer', '100k'), path)
            self.measure('peer', peer_case, path, 'bench', line=line, **options)
            shutil.rmtree(path, ignore_errors=True)

    def run(self, groups):
        needed = {entry[0] for group in groups if group in CHECKS for entry in CHECKS[group]}
        if 'change' in groups:
            needed.add('100k')
        for data in DATA:
            for side in self.sides():
                if data in needed:
                    self.fill(side, data)
        for i in range(self.runs):
            for group in groups:
                print(f'run {i + 1} of {self.runs}: {group}', file=sys.stderr)
                if group == 'store':
                    self.run_store()
                elif group == 'open':
                    self.run_open()
                elif group == 'change':
                    self.run_change()
                else:
                    self.run_checks(group)

    # ---- tables ----

    def median(self, side, data, line, field='ns_per_op'):
        records = self.results.get((side, data, line))
        return statistics.median(r[field] for r in records) if records else None

    def tables(self, groups):
        for group in groups:
            print(f'## {GROUPS[group]}\n')
            print('| case | ours | peer | ratio | target | met |')
            print('|---|---|---|---|---|---|')
            for row in (r for r in ROWS if r.group == group):
                print(self.row(row))
            print()

    def row(self, row):
        field = 'peak_rss_mib' if row.unit == 'MiB' else 'ns_per_op'
        ours = self.median('ours', row.data, row.line, field)
        peer = self.median('peer', row.data, row.peer_line, field)
        ratio = peer / ours if ours and peer else None
        cells = [row.title, show(ours, row) if ours else self.why_not(row),
                 show(peer, row) if peer else '', f'{digits(ratio)}x' if ratio else '',
                 row.target_text(show), row.met(ours, ratio)]
        base = self.median('ours', row.data, row.base) if row.base else None
        if base and ours:
            cells[5] = f'{"yes" if base / ours >= row.factor else "**no**"} ({digits(base / ours)}x)'
        return '| ' + ' | '.join(cells) + ' |'

    def why_not(self, row):
        if row.data == 'bench':
            return 'not built'
        return 'skipped' if DATA[row.data].get('peer_only') and not self.peer else '**failed**'

    def skipped(self):
        return sorted(d for d in DATA if DATA[d].get('peer_only'))


def digits(x):
    places = 0 if x >= 100 else 1 if x >= 10 else 2 if x >= 0.1 else 4
    return f'{x:.{places}f}'


def show(ns, row):
    """A figure in the row's unit."""
    if row.unit == 'MiB':
        return f'{ns:.0f} MiB'
    if row.unit == 'rate':
        rate = 1e9 / ns
        return f'{digits(rate / 1e6)} M/s' if rate >= 1e5 else f'{digits(rate / 1e3)} k/s'
    if row.unit == 'MB/s':
        return f'{row.bytes * 1e3 / ns:.0f} MB/s'
    for scale, unit in ((1e9, 's'), (1e6, 'ms'), (1e3, 'µs')):
        if ns >= scale:
            return f'{digits(ns / scale)} {unit}'
    return f'{ns:.0f} ns'


def main():
    ours, jetfs, peer, work, runs, *groups = sys.argv[1:]
    bench = Bench(ours, jetfs, peer, work, int(runs))
    bench.run(groups)
    bench.tables(groups)
    if not bench.peer:
        print('**The peer did not run**: no column of its figures, and nothing was measured for the'
              ' stores that only it can write (' + ', '.join(bench.skipped()) + ').\n')
    for failure in bench.failures:
        print(f'**Failed**: {failure}\n')
    return 1 if bench.failures else 0


if __name__ == '__main__':
    sys.exit(main())
