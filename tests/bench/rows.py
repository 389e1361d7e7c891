# SPDX-License-Identifier: Apache-2.0
"""What bench.py runs and prints: data sets, cases, and the rows of the tables with their targets."""

from dataclasses import dataclass

GROUPS = {
    'store': 'Storing',
    'change': 'Storing with limits, removing (`jetfs bench`; 1,000,000 messages, 100,000 subjects)',
    'load': 'Loading messages',
    'query': 'Questions (1,000,000 messages, 100,000 subjects)',
    'open': 'Opening',
}

# 128 bytes of payload, 1,000,000 messages, 1 subject unless said. peer_only: both read the
# store that the peer wrote.
DATA = {
    '1': {},
    '100k': {'subjects': 100000},
    '100k s2': {'subjects': 100000, 'comp': 's2', 'peer_only': True},
    '100k aes': {'subjects': 100000, 'cipher': 'aes', 'peer_only': True},
    '100k chacha': {'subjects': 100000, 'cipher': 'chacha', 'peer_only': True},
    '5M': {'subjects': 100000, 'n': 5000000},
    'bench': {'subjects': 100000},  # what `jetfs bench` makes; never kept
}

# Stores written and timed, by the name of the line.
STORED = {
    'batch': {'data': '1', 'n': 2000000, 'flush': 'async'},
    'batch 100k': {'data': '100k', 'n': 2000000, 'flush': 'async'},
    'batch header': {'data': '1', 'hdr': 100, 'flush': 'async'},
    'batch 16K': {'data': '1', 'n': 60000, 'size': 16384, 'batch': 64, 'flush': 'async'},
    'batch 256K': {'data': '1', 'n': 4000, 'size': 262144, 'batch': 4, 'flush': 'async'},
    'each': {'data': '1', 'batch': 1},
    'each 100k': {'data': '100k', 'batch': 1},
}

_LOADS = ['seq', 'block_first_known', 'block_first_index', 'random', 'iter', 'next', 'prev']
_PEER_LOADS = ['seq', 'block_first', 'random', 'next', 'prev']

# Per group: data set, our cases, the peer's cases, more options.
CHECKS = {
    'load': [
        ('1', _LOADS, _PEER_LOADS, {}),
        ('100k', _LOADS + ['literal', 'wildcard', 'multi10', 'last'],
         _PEER_LOADS + ['literal', 'wildcard', 'multi10', 'last'], {'matches': 5000}),
        ('100k s2', _LOADS[:4], _PEER_LOADS[:3], {}),
        ('100k aes', _LOADS[:4], _PEER_LOADS[:3], {}),
    ],
    'query': [
        ('100k', ['pending_first', 'subjects_first', 'query'],
         ['pending_first', 'subjects_first', 'query'], {}),
    ],
    'open': [
        ('1', ['index', 'no_index', 'crash']),
        ('100k', ['index', 'no_index', 'crash']),
        ('100k s2', ['index', 'no_index']),
        ('100k chacha', ['index', 'no_index']),
        ('5M', ['index', 'no_index']),
    ],
}


# What `jetfs bench` measures: its words, the name of the line for "store" (else the case's own), and
# the peer's case with its options. The peer gets a copy of its data set, or a new store for "fill".
_100K = ['--subjects', '100000']
COMMANDS = [
    (['store', '--max-msgs', '100000'] + _100K, 'max_msgs', 'fill',
     {'max_msgs': 100000, 'flush': 'async'}),
    (['store', '--max-msgs-per-subject', '1'] + _100K, 'key_value', 'fill',
     {'max_per': 1, 'flush': 'async'}),
    (['store', '--compression', 's2'], 's2', 'fill',
     {'subjects': 1, 'comp': 's2', 'flush': 'async'}),
    (['store', '--cipher', 'aes'], 'aes', 'fill',
     {'subjects': 1, 'cipher': 'aes', 'flush': 'async'}),
    (['store', '--cipher', 'chacha'], 'chacha', 'fill',
     {'subjects': 1, 'cipher': 'chacha', 'flush': 'async'}),
    (['sync', '--messages', '16000'], None, None, {}),
    (None, 'sync_1_writer', 'fill', {'subjects': 1, 'n': 2000, 'flush': 'sync'}),
    (['remove'] + _100K, None, 'remove', {'flush': 'async'}),
    (['purge'] + _100K, None, 'purge', {'flush': 'async'}),
    (['compact'] + _100K, None, 'compact', {'flush': 'async'}),
    (['truncate'] + _100K, None, 'truncate', {'flush': 'async'}),
    (['expire'] + _100K, None, None, {}),
    (['backup'] + _100K, None, None, {}),
    (['consumer'], None, None, {}),
]


@dataclass
class Row:
    """A line of a table. target: ns (or MiB) that our figure should not exceed; reference: the
    peer's figure when the target was set. Where both run beside each other their ratio counts,
    else the figure."""
    group: str
    title: str
    data: str
    line: str
    target: float = 0
    reference: float = 0
    unit: str = 'time'
    peer: str = ''
    bytes: int = 128
    base: str = ''  # another of our lines, that this one is to be so many times as fast as
    factor: float = 0

    @property
    def peer_line(self):
        return self.peer or self.line

    def target_text(self, show):
        if self.base:
            return f'≥ {self.factor}x {self.base}'
        if not self.target:
            return ''
        sign = '≥' if self.unit in ('rate', 'MB/s') else '≤'
        ratio = f' ({self.reference / self.target:.{0 if self.reference >= 10 * self.target else 1}f}x)'
        return f'{sign} {show(self.target, self)}' + (ratio if self.reference else '')

    def met(self, ours, ratio):
        if not self.target or not ours:
            return ''
        figure = ours <= self.target
        if not ratio or not self.reference:
            return 'yes' if figure else '**no**'
        if ratio >= self.reference / self.target:
            return 'yes' if figure else 'yes (by the ratio)'
        return '**no** (the figure, not the ratio)' if figure else '**no**'


def _rate(per_second):
    return 1e9 / per_second


US, MS, S = 1e3, 1e6, 1e9


def _loads(data, name):
    plain = ',' not in name  # no targets were set for ciphers
    block = (5 * MS, 15.4 * MS) if 'S2' in name else (20 * US, 8.6 * MS)
    return [
        Row('load', f'{name}: in sequence, just opened', data, 'seq_first', _rate(10e6) if plain else 0,
            826 if plain else 0, 'rate'),
        Row('load', f'{name}: in sequence, again', data, 'seq_second', unit='rate'),
        Row('load', f'{name}: first of each block, blocks known', data, 'block_first_known',
            *block, peer='block_first'),
        Row('load', f'{name}: first of each block, opened by index.db', data, 'block_first_index',
            *block, peer='block_first'),
        Row('load', f'{name}: 200,000 at random, just opened', data, 'random_fresh',
            _rate(2e6) if plain else 0, 2290 if plain else 0, 'rate'),
        Row('load', f'{name}: 200,000 at random, again', data, 'random_warm',
            _rate(5e6) if plain else 0, 1180 if plain else 0, 'rate'),
    ]


def _alls(data, name, target, reference):
    return [
        Row('load', f'{name}: load next, all', data, 'next_all', target, reference, 'rate'),
        Row('load', f'{name}: iterator over all (the peer has load next)', data, 'iter_all', target,
            reference, 'rate', 'next_all'),
        Row('load', f'{name}: load previous, all', data, 'prev_all', unit='rate'),
    ]


def _load(title, line, target=0, reference=0, peer='', unit='time'):
    return Row('load', '100k subjects: ' + title, '100k', line, target, reference, unit, peer)


def _query(title, line, target=0, reference=0):
    return Row('query', title, '100k', line, target, reference)


def _open(title, data, line, target=0, reference=0):
    return Row('open', title, data, line, target, reference)


ROWS = [
    Row('store', '1 subject (2 M; 1,024 a call; the peer: asynchronous flush)', '1', 'batch', _rate(5.5e6), 548,
        'rate'),
    Row('store', '100k subjects (the same)', '100k', 'batch 100k', _rate(2.4e6), 3290, 'rate'),
    Row('store', '1 subject, 100 bytes of header (the same)', '1', 'batch header', 710 / 3, 710, 'rate'),
    Row('store', '60,000 of 16 KiB (64 a call)', '1', 'batch 16K', 16384 * 1e3 / 1400, 19500, 'MB/s',
        bytes=16384),
    Row('store', '4,000 of 256 KiB (4 a call)', '1', 'batch 256K', 262144 * 1e3 / 1400, 419500, 'MB/s',
        bytes=262144),
    Row('store', '1 subject, a write for each message (in place)', '1', 'each', _rate(0.6e6), 3130,
        'rate'),
    Row('store', '100k subjects, a write for each message', '100k', 'each 100k', unit='rate'),
    Row('change', 'stored at max_msgs = 100,000', 'bench', 'max_msgs', _rate(1.5e6), 6270, 'rate'),
    Row('change', 'stored at max_msgs_per_subject = 1', 'bench', 'key_value', _rate(1e6), 7000, 'rate'),
    Row('change', 'stored compressed with S2, 1 subject', 'bench', 's2', 794 / 3, 794, 'rate'),
    Row('change', 'stored encrypted with AES, 1 subject', 'bench', 'aes', 712 / 3, 712, 'rate'),
    Row('change', 'stored encrypted with ChaCha, 1 subject', 'bench', 'chacha', 1020 / 3, 1020, 'rate'),
    Row('change', 'append and fdatasync of a plain file', 'bench', 'append_and_fdatasync', unit='rate'),
    Row('change', 'each on disk before the next, 1 writer', 'bench', 'sync_1_writer', unit='rate',
        base='append_and_fdatasync', factor=0.9),
    Row('change', 'each on disk, 16 writers', 'bench', 'sync_16_writers', unit='rate',
        base='sync_1_writer', factor=8),
    Row('change', 'removed one by one, half at random', 'bench', 'remove_random_half', 0.8 * US, 6.47 * US),
    Row('change', 'removed one by one, every second', 'bench', 'remove_every_second'),
    Row('change', 'removed one by one, the first half', 'bench', 'remove_first_half'),
    Row('change', 'purged dev.42.*.temp (10,052)', 'bench', 'purge_wildcard', 40 * MS, 980 * MS),
    Row('change', 'compacted to the second half', 'bench', 'compact_half', 30 * MS, 600 * MS),
    Row('change', 'truncated to the first half', 'bench', 'truncate_half', 30 * MS, 850 * MS),
    Row('change', 'expired by age, a message', 'bench', 'expire', 0.3 * US, 2.06 * US),
    Row('change', 'backup', 'bench', 'backup', _rate(3e6), 682, 'rate'),
    Row('change', 'consumer: delivered and acknowledged in order', 'bench', 'pairs_in_order', _rate(10e6),
        176, 'rate'),
    Row('change', 'consumer: acknowledged in reverse, 1,000 in flight', 'bench', 'pairs_reversed',
        _rate(10e6), 170, 'rate'),
    Row('change', 'consumer: state of 100,000 pending, encoded', 'bench', 'state_encode', 1.5 * MS,
        6.0 * MS),
    Row('change', 'consumer: state of 100,000 pending, loaded again', 'bench', 'state_reload', 5 * MS,
        42.4 * MS),

    Row('store', 'memory, 2 M stored over 100k subjects', '100k', 'batch 100k', 60, 0, 'MiB'),

    *_loads('1', '1 subject'),
    *_alls('1', '1 subject', 0, 0),
    *_loads('100k', '100k subjects'),
    *_alls('100k', '100k subjects', _rate(8e6), 1060),
    _load('literal (3 matches), just opened, a match', 'literal_cold', 1 * MS, 74.1 * MS),
    _load('100 literals to the end (1,019 matches), the stream read before, a match', 'literal_100', 5 * US, 1.39 * MS),
    _load('dev.42.*.temp (10,052), just opened, a match', 'wildcard_1pct_cold'),
    _load('dev.43.*.temp (1 %), warm, a match', 'wildcard_1pct_warm', 1 * US, 55.3 * US),
    _load('dev.*.123.temp (966, 0.1 %), a match', 'wildcard_01pct', 3 * US, 480 * US),
    _load('10 filters (100,287, 10 %; the peer: the first 5,000), a match', 'multi10', 1 * US, 414 * US),
    _load('last by subject, 100,000 at random, just opened', 'last_cold', 4 * US, 13.4 * US),
    _load('last by subject, again', 'last_warm', 0.7 * US, 3.74 * US),
    Row('load', 'memory, 100k subjects, read at random (cache of 256 MiB)', '100k', 'random_warm',
        60 + 256, 0, 'MiB'),
    *_loads('100k s2', '100k subjects, S2'),
    *_loads('100k aes', '100k subjects, AES'),

    _query('pending from the middle, 1 %, the first question', 'pending_1pct_mid_first'),
    _query('subjects state of all, the first question', 'subjects_all_first'),
    _query('pending, all', 'pending_all'),
    _query('pending from the middle, all', 'pending_all_mid'),
    _query('pending from the middle, literal', 'pending_literal_mid'),
    _query('pending, 1 %', 'pending_1pct'),
    _query('pending from the middle, 1 %', 'pending_1pct_mid', 0.5 * MS, 12.5 * MS),
    _query('pending, 0.1 %', 'pending_01pct'),
    _query('pending from the middle, 0.1 %', 'pending_01pct_mid'),
    _query('pending, all, last per subject', 'pending_last_all'),
    _query('pending from the middle, 1 %, last per subject', 'pending_last_1pct_mid'),
    _query('pending from the middle, 10 filters', 'pending_multi10_mid'),
    _query('filtered state, 1 %', 'filtered_1pct'),
    _query('filtered state from the middle, 1 %', 'filtered_1pct_mid'),
    _query('subjects state, all', 'subjects_all', 10 * MS, 528 * MS),
    _query('subjects state, 1 %', 'subjects_1pct'),
    _query('subject totals, all', 'totals_all'),
    _query('last sequences, all', 'last_seqs_all', 10 * MS, 295 * MS),
    _query('last sequences, 1 %', 'last_seqs_1pct'),
    _query('last sequences up to the middle, 1 %', 'last_seqs_1pct_upto'),
    _query('subject of a sequence, at random', 'subject_for_seq'),
    _query('sequence of a time, at random', 'seq_from_time'),

    _open('1 M, 1 subject, index.db', '1', 'open_index'),
    _open('1 M, 100k subjects, index.db', '100k', 'open_index', 30 * MS, 69 * MS),
    _open('1 M, 100k subjects, S2, index.db', '100k s2', 'open_index'),
    _open('1 M, 100k subjects, ChaCha, index.db', '100k chacha', 'open_index'),
    _open('5 M, 100k subjects, index.db', '5M', 'open_index'),
    _open('1 M, 1 subject, no index.db', '1', 'open_no_index', 0.12 * S, 0.33 * S),
    _open('1 M, 100k subjects, no index.db', '100k', 'open_no_index', 0.4 * S, 1.4 * S),
    _open('1 M, 100k subjects, S2, no index.db', '100k s2', 'open_no_index', 0.7 * S, 2.83 * S),
    _open('1 M, 100k subjects, ChaCha, no index.db', '100k chacha', 'open_no_index', 0.8 * S, 3.31 * S),
    _open('5 M, 100k subjects, no index.db', '5M', 'open_no_index', 2 * S, 8.5 * S),
    _open('1 M, 1 subject, index.db older than the last block', '1', 'open_crash'),
    _open('1 M, 100k subjects, index.db older than the last block', '100k', 'open_crash', 40 * MS,
          1280 * MS),
    Row('open', 'memory, 1 M, 100k subjects, no index.db', '100k', 'open_no_index', unit='MiB'),
]
