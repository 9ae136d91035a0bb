//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// pipeline is a chain of commands, each reading what the one before it writes.
type pipeline [][]string

// usage is what one run of a pipeline took.
type usage struct {
	wall time.Duration
	cpu  time.Duration // of all its processes, user and system
	peak int64         // resident bytes of its largest process
}

// run runs a pipeline, without a shell, and waits for all of it. Its output goes
// nowhere. extra is added to the environment.
func (b *bench) run(p pipeline, extra ...string) (usage, error) {
	var commands []*exec.Cmd
	var ends []*os.File
	defer func() {
		for _, end := range ends {
			_ = end.Close()
		}
	}()
	var from *os.File
	for i, args := range p {
		c := exec.Command(args[0], args[1:]...)
		c.Env = append(slices.Clip(b.env), extra...)
		if from != nil {
			c.Stdin = from
		}
		if i < len(p)-1 {
			r, w, err := os.Pipe()
			if err != nil {
				return usage{}, err
			}
			ends = append(ends, r, w)
			from, c.Stdout = r, w
		}
		commands = append(commands, c)
	}
	start := time.Now()
	for _, c := range commands {
		if err := c.Start(); err != nil {
			return usage{}, err
		}
	}
	for _, end := range ends {
		_ = end.Close()
	}
	ends = nil
	return wait(commands, start)
}

func wait(commands []*exec.Cmd, start time.Time) (u usage, failed error) {
	for _, c := range commands {
		if err := c.Wait(); err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", strings.Join(c.Args, " "), err)
		}
		u.cpu += c.ProcessState.UserTime() + c.ProcessState.SystemTime()
		if rusage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
			u.peak = max(u.peak, residentBytes(rusage))
		}
	}
	u.wall = time.Since(start)
	return u, failed
}

func residentBytes(r *syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return r.Maxrss
	}
	return r.Maxrss << 10
}

// warmUp is how many rounds are not counted.
const warmUp = 2

// comparison is what became of two series of runs. What else a machine does
// only ever adds to a time, so a series stands for its lower quartile.
type comparison struct{ left, right usage }

func (c comparison) ratio() float64 { return c.left.wall.Seconds() / c.right.wall.Seconds() }

// job is one thing to measure.
type job func() (usage, error)

// versus compares two jobs and writes a row about them.
func (b *bench) versus(what string, left, right job, against, target string) error {
	c, err := compare(b.sized(15, 201), left, right)
	if err == nil {
		b.table.compared(what, c, against, target)
	}
	return err
}

// compare runs two jobs in turn, first one then the other first, so that
// whatever else the machine does falls on both.
func compare(rounds int, a, b job) (comparison, error) {
	var left, right []usage
	for i := range rounds + warmUp {
		one, other, err := both(i%2 == 1, a, b)
		if err != nil {
			return comparison{}, err
		}
		if i >= warmUp {
			left, right = append(left, one), append(right, other)
		}
	}
	return comparison{quartile(left), quartile(right)}, nil
}

func both(swapped bool, a, b job) (one, other usage, err error) {
	if swapped {
		other, one, err = both(false, b, a)
		return one, other, err
	}
	if one, err = a(); err == nil {
		other, err = b()
	}
	return one, other, err
}

// quartile is the lower quartile of the wall times, of the processor times, and
// the highest peak.
func quartile(all []usage) (low usage) {
	var walls, cpus []time.Duration
	for _, u := range all {
		walls, cpus, low.peak = append(walls, u.wall), append(cpus, u.cpu), max(low.peak, u.peak)
	}
	slices.Sort(walls)
	slices.Sort(cpus)
	low.wall, low.cpu = walls[len(walls)/4], cpus[len(cpus)/4]
	return low
}
