// SPDX-License-Identifier: Apache-2.0

// The peer's side of the benchmarks: the cases of bench_store.c, with the same names, data and
// counts, run on nats-server's file store in process. build.sh lays this file into the package by
// an overlay; bench.py starts one case per process:
//
//	PB_CASE=seq PB_DIR=... [PB_SUBJECTS=100000] [PB_N=1000000] peer_bench -test.run '^TestPeerBench$'
//
// Every result is a line "PBRESULT {json}". A wrong count fails the case.

//go:debug default=go1.25
package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server/gsl"
)

// ---- the data set (bench_data.c has the same) ----

func pbMix(x uint64) uint64 { // splitmix64
	x += 0x9E3779B97F4A7C15
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9
	x = (x ^ (x >> 27)) * 0x94D049BB133111EB
	return x ^ (x >> 31)
}

var pbWords = strings.Fields(`alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima
mike november oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee zulu sensor value
temp unit status ok error warn info host port user order item price count total region zone rack node
cpu memory disk network bytes packets latency p99 json true false null id`)

const pbCycle = 65536

func pbTable() []byte {
	n := pbCycle + 262144
	t := make([]byte, 0, n+64)
	for k := uint64(0); len(t) < n; k++ {
		t = append(t, pbWords[pbMix(k)%uint64(len(pbWords))]...)
		t = append(t, ' ')
	}
	return t[:n]
}

func pbSubjects(n int) []string {
	if n == 1 {
		return []string{"bench.one"}
	}
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprintf("dev.%d.%d.temp", i/1000, i%1000)
	}
	return s
}

// ---- the environment ----

type pbBench struct {
	t                 *testing.T
	dir, cipher, comp string
	flush             string
	n, size, subjects int
	subs              []string
}

func pbInt(k string, d int) int {
	if v := os.Getenv(k); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			panic(err)
		}
		return n
	}
	return d
}

func (b *pbBench) open() *fileStore {
	fcfg := FileStoreConfig{StoreDir: b.dir, Cipher: NoCipher, AsyncFlush: b.flush == "async",
		SyncAlways: b.flush == "sync"}
	var prf keyGen
	switch b.cipher {
	case "aes":
		fcfg.Cipher = AES
	case "chacha":
		fcfg.Cipher = ChaCha
	}
	if fcfg.Cipher != NoCipher {
		prf = func(context []byte) ([]byte, error) {
			h := hmac.New(sha256.New, []byte("bench"))
			h.Write(context)
			return h.Sum(nil), nil
		}
	}
	if b.comp == "s2" {
		fcfg.Compression = S2Compression
	}
	cfg := StreamConfig{Name: "BENCH", Storage: FileStorage, Subjects: []string{"bench.>", "dev.>"},
		MaxMsgs: int64(pbInt("PB_MAX_MSGS", -1)), MaxBytes: -1,
		MaxMsgsPer: int64(pbInt("PB_MAX_PER", -1))}
	fs, err := newFileStoreWithCreated(fcfg, cfg, time.Unix(1700000000, 0), prf, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return fs
}

func (b *pbBench) store(fs *fileStore, n int) {
	tab := pbTable()
	var hdr []byte
	if size := pbInt("PB_HDR", 0); size > 0 {
		head, tail := "NATS/1.0\r\nX-Bench: ", "\r\n\r\n"
		hdr = []byte(head + strings.Repeat("h", size-len(head)-len(tail)) + tail)
	}
	for i := uint64(1); i <= uint64(n); i++ {
		o := (i * 131) % pbCycle
		subj := b.subs[0]
		if len(b.subs) > 1 {
			subj = b.subs[pbMix(i)%uint64(len(b.subs))]
		}
		if _, _, err := fs.StoreMsg(subj, hdr, tab[o:o+uint64(b.size):o+uint64(b.size)], 0); err != nil {
			b.t.Fatal(err)
		}
	}
	fs.FlushAllPending()
}

// ---- measuring ----

type pbTimer struct {
	name string
	t0   time.Time
}

func pbStart(name string) pbTimer {
	runtime.GC()
	debug.FreeOSMemory()
	os.WriteFile("/proc/self/clear_refs", []byte("5"), 0600) // the peak of memory begins anew
	return pbTimer{name, time.Now()}
}

func (p pbTimer) stop(ops int, bytes int64, result uint64) {
	el := time.Since(p.t0)
	var hwm int
	b, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(b), "\n") {
		if f := strings.Fields(l); len(f) >= 2 && f[0] == "VmHWM:" {
			hwm, _ = strconv.Atoi(f[1])
		}
	}
	r, _ := json.Marshal(map[string]any{"case": p.name, "ops": ops,
		"ns_per_op": float64(el.Nanoseconds()) / float64(max(ops, 1)),
		"mb_per_s":  float64(bytes) / 1e6 / el.Seconds(), "peak_rss_mib": float64(hwm) / 1024,
		"result": result})
	fmt.Printf("PBRESULT %s\n", r)
}

func (b *pbBench) check(what string, got, want uint64) {
	if got != want {
		b.t.Fatalf("%s: %d, not %d", what, got, want)
	}
}

// ---- the cases ----

func TestPeerBench(t *testing.T) {
	c := os.Getenv("PB_CASE")
	if c == "" {
		t.Skip("PB_CASE is not set: started by tests/bench/run.sh")
	}
	b := &pbBench{t: t, dir: os.Getenv("PB_DIR"), cipher: os.Getenv("PB_CIPHER"), comp: os.Getenv("PB_COMP"),
		flush: os.Getenv("PB_FLUSH"), n: pbInt("PB_N", 1000000), size: pbInt("PB_SIZE", 128),
		subjects: pbInt("PB_SUBJECTS", 1)}
	b.subs = pbSubjects(b.subjects)
	run, ok := map[string]func(){
		"fill": b.fill, "crash": b.crash, "open": b.openOnly, "seq": b.seq, "block_first": b.blockFirst,
		"random": b.random, "next": b.next, "prev": b.prev, "literal": b.literal, "wildcard": b.wildcard,
		"multi10": b.multi10, "last": b.last, "pending_first": b.pendingFirst,
		"subjects_first": b.subjectsFirst, "query": b.query,
		"remove": b.remove, "purge": b.purge, "compact": b.compact, "truncate": b.truncate,
	}[c]
	if !ok {
		t.Fatalf("unknown case %q", c)
	}
	run()
}

func (b *pbBench) fill() {
	fs := b.open()
	p := pbStart("store")
	b.store(fs, b.n)
	p.stop(b.n, int64(b.n*b.size), uint64(b.n))
	fs.Stop()
}

// Ten more messages, then the process dies: index.db is older than the last block.
func (b *pbBench) crash() {
	b.store(b.open(), 10)
	os.Exit(0)
}

func (b *pbBench) openOnly() {
	want := uint64(pbInt("PB_EXPECT", b.n))
	p := pbStart("open")
	fs := b.open()
	st := fs.State()
	p.stop(1, 0, st.Msgs)
	b.check("messages", st.Msgs, want)
	fs.Stop()
}

func (b *pbBench) seq() {
	fs, smv := b.open(), StoreMsg{}
	defer fs.Stop()
	for _, name := range []string{"seq_first", "seq_second"} {
		p, bytes := pbStart(name), int64(0)
		for i := 1; i <= b.n; i++ {
			sm, err := fs.LoadMsg(uint64(i), &smv)
			if err != nil {
				b.t.Fatal(err)
			}
			bytes += int64(len(sm.msg))
		}
		p.stop(b.n, bytes, uint64(bytes))
		b.check("bytes", uint64(bytes), uint64(b.n*b.size))
	}
}

// One message of each block, blocks in scattered order.
func (b *pbBench) blockFirst() {
	fs, smv := b.open(), StoreMsg{}
	defer fs.Stop()
	var seqs []uint64
	for _, mb := range fs.blks {
		if f, l := atomic.LoadUint64(&mb.first.seq), atomic.LoadUint64(&mb.last.seq); l > f {
			seqs = append(seqs, f+(l-f)/2)
		}
	}
	step := 7 // prime, and no divisor of their number: each block once
	if len(seqs)%step == 0 {
		step = 11
	}
	if len(seqs)%step == 0 {
		step = 1
	}
	p := pbStart("block_first")
	for k := range seqs {
		if _, err := fs.LoadMsg(seqs[(k*step)%len(seqs)], &smv); err != nil {
			b.t.Fatal(err)
		}
	}
	p.stop(len(seqs), 0, uint64(len(seqs)))
}

func (b *pbBench) random() {
	const k = 200000
	fs, smv := b.open(), StoreMsg{}
	defer fs.Stop()
	for pass, name := range []string{"random_fresh", "random_warm"} {
		p := pbStart(name)
		for i := 0; i < k; i++ {
			if _, err := fs.LoadMsg(1+pbMix(uint64(i+pass*k))%uint64(b.n), &smv); err != nil {
				b.t.Fatal(err)
			}
		}
		p.stop(k, int64(k*b.size), k)
	}
}

// All matches of a filter from the front; how many there were.
func (b *pbBench) walk(fs *fileStore, filter string, wc bool) (n uint64) {
	var smv StoreMsg
	for seq := uint64(1); ; n++ {
		_, at, err := fs.LoadNextMsg(filter, wc, seq, &smv)
		if err != nil {
			return n
		}
		seq = at + 1
	}
}

func (b *pbBench) timedWalk(fs *fileStore, name, filter string, wc bool, want uint64) {
	p := pbStart(name)
	n := b.walk(fs, filter, wc)
	p.stop(int(n), int64(n)*int64(b.size), n)
	if want != 0 {
		b.check(name, n, want)
	}
}

func (b *pbBench) next() {
	fs := b.open()
	defer fs.Stop()
	b.timedWalk(fs, "next_all", ">", true, uint64(b.n))
}

func (b *pbBench) prev() {
	fs, smv := b.open(), StoreMsg{}
	defer fs.Stop()
	p, n := pbStart("prev_all"), uint64(0)
	for seq := uint64(b.n); seq > 0; n++ {
		_, at, err := fs.LoadPrevMsg(">", true, seq, &smv)
		if err != nil {
			break
		}
		seq = at - 1
	}
	p.stop(int(n), int64(n)*int64(b.size), n)
	b.check("prev_all", n, uint64(b.n))
}

func (b *pbBench) literal() {
	fs := b.open()
	defer fs.Stop()
	b.timedWalk(fs, "literal_cold", "dev.42.123.temp", false, 3)
	p, n := pbStart("literal_100"), uint64(0)
	for k := 0; k < 100; k++ {
		n += b.walk(fs, b.subs[(k*997+13)%len(b.subs)], false)
	}
	p.stop(int(n), 0, n)
	b.check("literal_100", n, 1019)
}

func (b *pbBench) wildcard() {
	fs := b.open()
	defer fs.Stop()
	b.timedWalk(fs, "wildcard_1pct_cold", "dev.42.*.temp", true, 10052)
	b.timedWalk(fs, "wildcard_1pct_warm", "dev.43.*.temp", true, 0)
	b.timedWalk(fs, "wildcard_01pct", "dev.*.123.temp", true, 966)
}

func pbTenFilters() *gsl.SimpleSublist {
	sl := gsl.NewSimpleSublist()
	for k := 0; k < 10; k++ {
		sl.Insert(fmt.Sprintf("dev.%d.*.temp", k*7), struct{}{})
	}
	return sl
}

// Over the first PB_MATCHES matches: all of them take the peer most of a minute.
func (b *pbBench) multi10() {
	fs, smv := b.open(), StoreMsg{}
	defer fs.Stop()
	limit := uint64(pbInt("PB_MATCHES", 100287))
	p, n := pbStart("multi10"), uint64(0)
	for sl, seq := pbTenFilters(), uint64(1); n < limit; n++ {
		_, at, err := fs.LoadNextMsgMulti(sl, seq, &smv)
		if err != nil {
			break
		}
		seq = at + 1
	}
	p.stop(int(n), int64(n)*int64(b.size), n)
	b.check("multi10", n, limit)
}

func (b *pbBench) last() {
	const k = 100000
	fs, smv := b.open(), StoreMsg{}
	defer fs.Stop()
	for pass, name := range []string{"last_cold", "last_warm"} {
		p, found := pbStart(name), uint64(0)
		for i := 0; i < k; i++ {
			_, err := fs.LoadLastMsg(b.subs[pbMix(uint64(i+pass*k))%uint64(len(b.subs))], &smv)
			if err == nil {
				found++
			} else if err != ErrStoreMsgNotFound {
				b.t.Fatal(err)
			}
		}
		p.stop(k, int64(found)*int64(b.size), found)
	}
}

// ---- questions ----

func (b *pbBench) rep(name string, times int, want uint64, f func(i int) uint64) {
	p, v := pbStart(name), uint64(0)
	for i := 0; i < times; i++ {
		v = f(i)
	}
	p.stop(times, 0, v)
	if want != 0 {
		b.check(name, v, want)
	}
}

func (b *pbBench) pending(fs *fileStore, from uint64, filter string, last bool) func(int) uint64 {
	return func(int) uint64 {
		n, _, err := fs.NumPending(from, filter, last)
		if err != nil {
			b.t.Fatal(err)
		}
		return n
	}
}

func (b *pbBench) pendingFirst() {
	fs := b.open()
	defer fs.Stop()
	b.rep("pending_1pct_mid_first", 1, 5027, b.pending(fs, uint64(b.n/2), "dev.42.*.temp", false))
}

func (b *pbBench) subjectsFirst() {
	fs := b.open()
	defer fs.Stop()
	b.rep("subjects_all_first", 1, 99997, func(int) uint64 { return uint64(len(fs.SubjectsState(">"))) })
}

func (b *pbBench) query() {
	fs := b.open()
	defer fs.Stop()
	n, mid := uint64(b.n), uint64(b.n/2)
	lastSeqs := func(filter string, upto uint64) func(int) uint64 {
		return func(int) uint64 {
			s, err := fs.MultiLastSeqs([]string{filter}, upto, 0)
			if err != nil {
				b.t.Fatal(err)
			}
			return uint64(len(s))
		}
	}
	filtered := func(from uint64) func(int) uint64 {
		return func(int) uint64 {
			s, err := fs.FilteredState(from, "dev.42.*.temp")
			if err != nil {
				b.t.Fatal(err)
			}
			return s.Msgs
		}
	}
	b.rep("pending_warm_up", 1, 5027, b.pending(fs, mid, "dev.42.*.temp", false))
	b.rep("pending_all", 1000, n, b.pending(fs, 1, ">", false))
	b.rep("pending_all_mid", 1000, n-mid+1, b.pending(fs, mid, ">", false))
	b.rep("pending_literal_mid", 1000, 0, b.pending(fs, mid, "dev.42.123.temp", false))
	b.rep("pending_1pct", 20, 10052, b.pending(fs, 1, "dev.42.*.temp", false))
	b.rep("pending_1pct_mid", 20, 5027, b.pending(fs, mid, "dev.42.*.temp", false))
	b.rep("pending_01pct", 20, 966, b.pending(fs, 1, "dev.*.123.temp", false))
	b.rep("pending_01pct_mid", 20, 486, b.pending(fs, mid, "dev.*.123.temp", false))
	b.rep("pending_last_all", 5, 99997, b.pending(fs, 1, ">", true))
	b.rep("pending_last_1pct_mid", 5, 993, b.pending(fs, mid, "dev.42.*.temp", true))
	b.rep("pending_multi10_mid", 5, 50009, func(int) uint64 {
		v, _, err := fs.NumPendingMulti(mid, pbTenFilters(), false)
		if err != nil {
			b.t.Fatal(err)
		}
		return v
	})
	b.rep("filtered_1pct", 20, 10052, filtered(1))
	b.rep("filtered_1pct_mid", 20, 5027, filtered(mid))
	b.rep("subjects_all", 3, 99997, func(int) uint64 { return uint64(len(fs.SubjectsState(">"))) })
	b.rep("subjects_1pct", 5, 1000, func(int) uint64 { return uint64(len(fs.SubjectsState("dev.42.*.temp"))) })
	b.rep("totals_all", 5, 99997, func(int) uint64 { return uint64(len(fs.SubjectsTotals(">"))) })
	b.rep("last_seqs_all", 3, 99997, lastSeqs(">", 0))
	b.rep("last_seqs_1pct", 5, 1000, lastSeqs("dev.42.*.temp", 0))
	b.rep("last_seqs_1pct_upto", 5, 0, lastSeqs("dev.42.*.temp", mid))
	b.rep("subject_for_seq", 100000, 0, func(i int) uint64 {
		s, err := fs.SubjectForSeq(1 + pbMix(uint64(i))%n)
		if err != nil {
			b.t.Fatal(err)
		}
		return uint64(len(s))
	})
	st := fs.State()
	t0 := st.FirstTime.UnixNano()
	span := uint64(st.LastTime.UnixNano() - t0)
	b.rep("seq_from_time", 10000, 0, func(i int) uint64 {
		return fs.GetSeqFromTime(time.Unix(0, t0+int64(pbMix(uint64(i))%span)))
	})
}

// ---- removing: the store is spoiled ----

// Half of the messages at random: the first half of a Fisher-Yates permutation.
func (b *pbBench) remove() {
	fs := b.open()
	defer fs.Stop()
	seqs := make([]uint64, b.n)
	for i := range seqs {
		seqs[i] = uint64(i + 1)
	}
	for i := b.n - 1; i > 0; i-- {
		k := int(pbMix(uint64(i)) % uint64(i+1))
		seqs[i], seqs[k] = seqs[k], seqs[i]
	}
	p := pbStart("remove_random_half")
	for _, seq := range seqs[:b.n/2] {
		if ok, err := fs.RemoveMsg(seq); !ok || err != nil {
			b.t.Fatal(seq, ok, err)
		}
	}
	fs.FlushAllPending()
	p.stop(b.n/2, 0, uint64(b.n/2))
	b.check("messages left", fs.State().Msgs, uint64(b.n-b.n/2))
}

func (b *pbBench) purge() {
	fs := b.open()
	defer fs.Stop()
	before := fs.State().Msgs
	p := pbStart("purge_wildcard")
	n, err := fs.PurgeEx("dev.42.*.temp", 0, 0)
	p.stop(1, 0, n)
	if err != nil {
		b.t.Fatal(err)
	}
	b.check("purged", n, 10052)
	b.check("messages left", fs.State().Msgs, before-n)
}

func (b *pbBench) compact() {
	fs := b.open()
	defer fs.Stop()
	p := pbStart("compact_half")
	n, err := fs.Compact(uint64(b.n/2 + 1))
	p.stop(1, 0, n)
	if err != nil {
		b.t.Fatal(err)
	}
	b.check("messages left", fs.State().Msgs, uint64(b.n-b.n/2))
}

func (b *pbBench) truncate() {
	fs := b.open()
	defer fs.Stop()
	p := pbStart("truncate_half")
	err := fs.Truncate(uint64(b.n / 2))
	p.stop(1, 0, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	b.check("messages left", fs.State().Msgs, uint64(b.n/2))
}
