package probe

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestRequestsAreDueAtTheRateHoweverSlowTheAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(3, time.Second, 100)
		ctx, cancel := context.WithTimeout(t.Context(), 9900*time.Millisecond)
		defer cancel()
		start, n := time.Now(), 0
		for tick := range s.ticks(ctx, start) { // no slot is ever given back
			assert.Equal(t, n, tick.n)
			assert.Equal(t, start.Add(time.Duration(n)*time.Second/3), time.Now())
			assert.False(t, tick.late)
			n++
		}
		assert.Equal(t, 30, n)
	})
}

func TestRequestWithoutASlotIsLateAndTheScheduleGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(10, 250*time.Millisecond, 2)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		start := time.Now()
		time.AfterFunc(time.Second, s.release)
		var late, sent int
		for tick := range s.ticks(ctx, start) {
			if !tick.late {
				sent++
				continue
			}
			late++
			assert.Equal(t, tick.due.Add(250*time.Millisecond), time.Now())
			assert.True(t, tick.full)
		}
		assert.Equal(t, 3, sent)
		// Due until 1.7 s, so that they were late before the end.
		assert.Equal(t, 15, late)
	})
}

func TestProberThatWasHeldUpIsLateToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSchedule(10, 500*time.Millisecond, 100)
		start := time.Now()
		time.Sleep(time.Second)
		var late int
		for tick := range s.ticks(t.Context(), start) {
			if tick.n == 10 {
				break
			}
			if tick.late {
				late++
				assert.False(t, tick.full)
			}
		}
		assert.Equal(t, 5, late) // due at 0 to 0.4 s
	})
}

func TestClassesAndWritesAreDealtByTheirShares(t *testing.T) {
	type card struct {
		class Class
		role  role
	}
	got := map[card]int{}
	d := newDeck(Shares{Fresh: 4, Kept: 4, Slow: 1}, 0.25)
	for range 900 {
		class, role := d.next()
		got[card{class, role}]++
	}
	assert.Equal(t, map[card]int{
		{Fresh, read}: 300, {Fresh, write}: 100,
		{Kept, read}: 300, {Kept, write}: 100,
		{Slow, slow}: 100,
	}, got)

	d = newDeck(Shares{Kept: 1}, 0)
	for range 10 {
		class, role := d.next()
		assert.Equal(t, card{Kept, read}, card{class, role})
	}
}

func TestKeptConnectionsAreFewAndUsedOften(t *testing.T) {
	half := Shares{Fresh: 1, Kept: 1}
	for rate, size := range map[int]int{1: 1, 8: 1, 20: 2, 100: 12, 1000: maxPool} {
		assert.Equal(t, size, poolSize(rate, half), rate)
	}
}

func TestPoolTakesTurnsAndShrinksBackToItsSize(t *testing.T) {
	p := &pool{size: 2}
	assert.Nil(t, p.take())
	assert.Nil(t, p.take())
	assert.Nil(t, p.take(), "all are busy: one more")
	a, b, c := pipe(t), pipe(t), pipe(t)
	p.put(a) // one too many: closed
	p.put(b)
	p.put(c)
	assert.Same(t, b, p.take())
	p.put(b)
	assert.Same(t, c, p.take())
	p.drop()
	assert.Nil(t, p.take(), "one is missing: dial")
	p.drop()
	p.close()
	assert.Zero(t, p.open)
	for _, c := range []*conn{a, b} {
		_, err := c.Write([]byte("x"))
		assert.Error(t, err, "closed")
	}
}
