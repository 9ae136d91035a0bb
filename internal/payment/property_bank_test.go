package payment_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/villapay/villapay/internal/api"
	"github.com/villapay/villapay/internal/ledger"
	"github.com/villapay/villapay/internal/order"
)

// stories is the number of random stories.
const stories = 100

// Whatever two tills and customers do in whatever order, with a bank and a network
// that fail and processes that are killed: of the codes that anybody was shown, at
// most one can be paid, unless --new said that it could not cancel the others; what
// is given back was asked to be, and is not kept; what is kept is called paid; and
// nothing that is paid is called canceled.
func TestNoMoneyIsTakenTwiceOrLost(t *testing.T) {
	t.Parallel()
	for seed := range uint64(stories) {
		synctest.Test(t, func(t *testing.T) { newStory(t, seed).tell() })
		if t.Failed() {
			return
		}
	}
}

// story is one order of events about one Villa order.
type story struct {
	t     *testing.T
	seed  uint64
	town  *town
	tills []*till // the last one has no key

	mu      sync.Mutex
	random  *rand.Rand
	calm    bool // nothing fails any more
	alone   bool // one process runs, and may be killed
	log     []string
	shown   map[string]bool // codes that were shown
	excused map[string]bool // bank orders whose code could not be canceled, as was said
	voided  map[string]bool // charges with a requested void
}

func newStory(t *testing.T, seed uint64) *story {
	s := &story{t: t, seed: seed, town: newTown(), random: rand.New(rand.NewPCG(seed, 17)), shown: map[string]bool{}, excused: map[string]bool{}, voided: map[string]bool{}}
	l := memory(t)
	s.tills = []*till{s.town.till(t, l), s.town.till(t, l), s.town.till(t, l)}
	s.tills[2].Bank = nil
	s.town.grumbles, s.town.fate = s.chance(2), s.fate
	return s
}

// pick is a random number below n.
func (s *story) pick(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

func (s *story) chance(of int) bool { return s.pick(of) == 0 }

func (s *story) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

// wrong fails the test with everything that happened.
func (s *story) wrong(format string, args ...any) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t.Errorf("story %d: "+format+"\n%s", append(append([]any{s.seed}, args...), strings.Join(s.log, "\n"))...)
}

// fate lets every eighth call fail.
func (s *story) fate(r *http.Request) fate {
	if s.calm || !s.chance(8) {
		return fine
	}
	all := []fate{lostBefore, lostAfter, lostAfter, unavailable, unreachable, page, silent}
	if s.alone && r.Method == http.MethodPost { // questions run beside their process
		all = append(all, diesBefore, diesAfter, diesAfter)
	}
	what := all[s.pick(len(all))]
	s.note("    %s %s: fate %d", r.Method, r.URL.Path, what)
	return what
}

func (s *story) tell() {
	for range 30 {
		if s.alone = !s.chance(4); s.alone {
			s.act(s.tills[s.pick(len(s.tills))])
		} else { // two at once
			var group sync.WaitGroup
			first := s.pick(len(s.tills))
			for _, who := range []*till{s.tills[first], s.tills[(first+1)%len(s.tills)]} {
				group.Go(func() { s.act(who) })
			}
			group.Wait()
		}
		s.check()
		if s.t.Failed() {
			return
		}
	}
	s.calm = true
	s.settle()
}

// act lets one process do something; it may be killed. Or a customer, the bank or
// the clock does.
func (s *story) act(who *till) {
	name := fmt.Sprint("till ", slices.Index(s.tills, who))
	ctx := context.Background()
	switch s.pick(12) {
	case 0, 1, 2:
		s.run(name+" pays", func() error { return s.show(who, false) })
	case 3:
		s.run(name+" pays with --new", func() error { return s.show(who, true) })
	case 4, 5:
		s.run(name+" cancels", func() error { return s.cancel(ctx, who) })
	case 6:
		s.run(name+" voids", func() error { return s.void(ctx, who) })
	case 7:
		s.run(name+" asks", func() error {
			_, err := who.Status(ctx, villa, true)
			return err
		})
	case 8, 9:
		s.scan()
	case 10:
		if c := s.town.charge(s.pick, "Authorized", "Voided"); c != nil && s.alone {
			late := *c
			if s.chance(2) {
				late.state = "Authorized"
			}
			s.note("the bank notifies that %s is %s", c.id, late.state)
			hear(s.t, who, &late)
		}
	case 11:
		d := time.Duration(s.pick(900_000)) * time.Millisecond
		s.note("%s pass", d)
		time.Sleep(d)
	}
}

// run runs a process until it ends or is killed.
func (s *story) run(what string, do func() error) {
	s.note("%s", what)
	ended := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := do()
		ended = true
		if err != nil {
			s.note("    %s: %v", what, err)
		}
		if stored, ok := errors.AsType[*ledger.Error](err); ok {
			s.wrong("the ledger failed: %v", stored)
		}
	}()
	<-done
	if !ended {
		s.note("    it is killed")
		time.Sleep(11 * time.Second)
	}
}

// show makes or replays the payment, and draws its code.
func (s *story) show(who *till, fresh bool) error {
	p, err := who.pay(fresh)
	for word := range strings.FieldsSeq(who.warned()) {
		if id := strings.Trim(word, "();"); strings.HasPrefix(id, "order_test_") {
			s.mu.Lock()
			s.excused[id] = true
			s.mu.Unlock()
		}
	}
	held := p.LivingCode(time.Now())
	if err != nil || held == nil {
		return err
	}
	s.note("    it draws %s of %s", held.ID, p.BankOrderID)
	s.mu.Lock()
	s.shown[held.ID] = true
	s.mu.Unlock()
	if now := who.now(p); s.alone && (now.Held == nil || now.Held.ID != held.ID) {
		s.wrong("%s is drawn, and not recorded: %+v", held.ID, now.Held)
	}
	if answering, _ := order.Answering(who.known()); s.alone && answering.State == order.Paid {
		s.wrong("%s is drawn, and the order is paid", held.ID)
	}
	return nil
}

func (s *story) cancel(ctx context.Context, who *till) error {
	open, found := order.Open(who.known(), time.Now())
	if !found || open.State != order.Awaiting && open.State != order.Expired {
		return nil
	}
	p, err := who.Cancel(ctx, open)
	if err == nil {
		s.note("    %s is %s", p.BankOrderID, p.State)
	}
	return err
}

// void does as the command does: it finishes what has no answer, or gives back the
// only paid charge, or one of several.
func (s *story) void(ctx context.Context, who *till) error {
	voids, err := who.Ledger.Voids(ctx, shopURL, villa)
	if err != nil {
		return err
	}
	seen, err := who.Ledger.PaidCharges(ctx, shopURL, villa)
	if err != nil {
		return err
	}
	paid := slices.DeleteFunc(slices.Clone(seen), func(one order.PaidCharge) bool { return one.Returned })
	known := who.known()
	var p order.Payment
	charge := ""
	if i := slices.IndexFunc(voids, func(v ledger.PastVoid) bool { return !v.Done }); i >= 0 {
		charge = voids[i].ChargeID
		p = known[slices.IndexFunc(known, func(p order.Payment) bool { return p.ID == voids[i].PaymentID })]
	} else if len(paid) > 0 {
		one := paid[s.pick(len(paid))]
		charge = one.ID
		p = known[slices.IndexFunc(known, func(p order.Payment) bool { return p.BankOrderID == one.BankOrderID })]
	}
	if charge == "" {
		return nil
	}
	s.mu.Lock()
	s.voided[charge] = true
	s.mu.Unlock()
	now, err := who.Void(ctx, p, charge, seen)
	s.note("    the void of %s: %s, %v", charge, now.State, err)
	s.town.mu.Lock()
	state := s.town.charges[charge].state
	s.town.mu.Unlock()
	switch kind := kind(err); {
	case err == nil && state != "Voided":
		s.wrong("%s is called given back, and is kept", charge)
	case s.alone && (kind == api.Rejected || kind == api.Unavailable) && state == "Voided":
		s.wrong("%s is called kept, and is given back: %v", charge, err)
	}
	return err
}

// scan lets a customer pay with a code that is shown.
func (s *story) scan() {
	s.mu.Lock()
	codes := slices.Sorted(maps.Keys(s.shown))
	s.mu.Unlock()
	if len(codes) == 0 {
		return
	}
	code := codes[max(0, len(codes)-1-s.pick(3))]
	if charge := s.town.scan(code); charge != nil {
		s.note("a customer pays %s: %s", code, charge.id)
	}
}

// check checks the invariants while no operation is running.
func (s *story) check() {
	s.t.Helper()
	s.mu.Lock()
	shown, excused, voided := maps.Clone(s.shown), maps.Clone(s.excused), maps.Clone(s.voided)
	s.mu.Unlock()
	var payable []string
	for _, id := range s.town.payable() {
		if c := s.town.code(id); shown[id] && !excused[c.order.id] {
			payable = append(payable, id)
		}
	}
	if len(payable) > 1 {
		s.wrong("%v are shown, and can all be paid", payable)
	}
	s.town.mu.Lock()
	defer s.town.mu.Unlock()
	for id, c := range s.town.charges {
		if c.state == "Voided" && !voided[id] {
			s.wrong("%s is given back, and nobody asked for that", id)
		}
	}
	for _, p := range s.tills[0].known() {
		if p.State != order.Cancelled || p.ChargeID != "" {
			continue
		}
		for id, c := range s.town.charges {
			if c.order.id == p.BankOrderID && c.state == "Authorized" {
				s.wrong("%s is called canceled, and %s paid it", p.BankOrderID, id)
			}
		}
		for id, c := range s.town.codes {
			if c.order.id == p.BankOrderID && shown[id] && c.payable() {
				s.wrong("%s is called canceled, and %s can be paid", p.BankOrderID, id)
			}
		}
	}
}

// settle lets everything be heard and finished, and compares the ledger with the
// bank.
func (s *story) settle() {
	s.note("in the end:")
	who := s.tills[0]
	for i := 0; ; i++ {
		for _, id := range slices.Sorted(maps.Keys(s.town.charges)) {
			hear(s.t, who, s.town.charges[id])
		}
		voids, err := who.Ledger.Voids(context.Background(), shopURL, villa)
		if err != nil {
			s.t.Fatal(err)
		}
		if i > 0 && !slices.ContainsFunc(voids, func(v ledger.PastVoid) bool { return !v.Done }) {
			break
		}
		if i > 2 {
			s.wrong("a void is never finished: %+v", voids)
			return
		}
		if i > 0 {
			s.run("the void is finished", func() error { return s.void(context.Background(), who) })
		}
		if report, err := who.Status(context.Background(), villa, true); err != nil || report.BankErr != nil {
			s.wrong("the bank cannot be asked: %v %v", err, report.BankErr)
		}
	}
	kept := false
	for _, p := range who.known() {
		var states []string
		for _, c := range s.town.charges {
			if c.order.id == p.BankOrderID && p.BankOrderID != "" {
				states = append(states, c.state)
			}
		}
		paid, back := slices.Contains(states, "Authorized"), slices.Contains(states, "Voided")
		kept = kept || paid
		switch {
		case paid != (p.State == order.Paid):
			s.wrong("%s is %s, its charges are %v", p.BankOrderID, p.State, states)
		case !paid && back != (p.State == order.Cancelled) && !p.Canceled:
			s.wrong("%s is %s, its charges are %v", p.BankOrderID, p.State, states)
		}
	}
	if !kept {
		return
	}
	before := s.town.called("POST qrpayment")
	for _, fresh := range []bool{false, true} {
		p, err := who.pay(fresh)
		if err != nil || p.State != order.Paid || p.LivingCode(time.Now()) != nil || s.town.called("POST qrpayment") != before {
			s.wrong("the order is paid, and pay makes %s: %v", p.State, err)
		}
	}
}
