// SPDX-License-Identifier: Apache-2.0

// The measurements of `tern-bench actors` on Go: a goroutine with a channel is an actor. README.md
// defines them.
//
//	GOMAXPROCS=THREADS go_actors MEASUREMENT full|quick wall|cpu
//
// Prints a JSON object a line: name, value, unit. Rates are of a stretch that grew until it was long
// enough to be measured; what went before has warmed everything up. A channel is bounded, so nothing
// needs a window.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	ping = iota
	pong
	start
)

type message struct {
	kind   int
	number int
	from   chan message
}

var quick, byCPU bool

func figure(name string, value float64, unit string) {
	fmt.Printf("{\"name\":\"%s\",\"value\":%.4f,\"unit\":\"%s\"}\n", name, value, unit)
}

// So many in a full run, a twentieth with `quick`.
func scaled(full int) int {
	if quick {
		return full / 20
	}
	return full
}

func residentBytes() float64 {
	text, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return float64(pages * os.Getpagesize())
}

// What rates are counted by: the clock's time, or the process's CPU with `cpu`.
func nowSeconds() float64 {
	if !byCPU {
		return float64(time.Now().UnixNano()) / 1e9
	}
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e9
}

func seconds(run func()) float64 {
	begin := nowSeconds()
	run()
	return nowSeconds() - begin
}

// run(n) does the work of n and returns the seconds that its measured part took.
func stretch(n int, run func(n int) float64) float64 {
	wanted := 0.3
	if quick {
		wanted = 0.05
	}
	for {
		taken := run(n)
		if taken >= wanted {
			return float64(n) / taken
		}
		factor := 1.3 * wanted / (taken + 1e-6)
		if factor < 2 {
			factor = 2
		} else if factor > 16 {
			factor = 16
		}
		n = int(float64(n) * factor)
	}
}

func channels(count, capacity int) []chan message {
	made := make([]chan message, count)
	for i := range made {
		made[i] = make(chan message, capacity)
	}
	return made
}

func closeAll(channels []chan message) {
	for _, channel := range channels {
		close(channel)
	}
}

// --- actors that begin and end

func idleBytes() {
	n := scaled(1000000)
	all := make([]chan message, n)
	before := residentBytes()
	for i := range all {
		channel := make(chan message, 4)
		all[i] = channel
		go func() { <-channel }()
	}
	time.Sleep(500 * time.Millisecond)
	figure("idle_bytes", (residentBytes()-before)/float64(n), "B")
	runtime.KeepAlive(all)
}

func spawnRound(n int) float64 {
	var ended sync.WaitGroup
	all := make([]chan message, n)
	ended.Add(n)
	taken := seconds(func() {
		for i := range all {
			channel := make(chan message, 4)
			all[i] = channel
			go func() {
				<-channel
				ended.Done()
			}()
		}
	})
	for _, channel := range all {
		channel <- message{}
	}
	ended.Wait()
	return float64(n) / taken
}

func spawn() {
	rounds := 30
	if quick {
		rounds = 10
	}
	rates := make([]float64, rounds)
	for i := range rates {
		rates[i] = spawnRound(10000)
	}
	warm := rates[3:]
	sort.Float64s(warm)
	figure("spawn", warm[len(warm)/2], "1/s")
}

func spawnExit() {
	figure("spawn_exit", stretch(20000, func(n int) float64 {
		return seconds(func() {
			var ended sync.WaitGroup
			ended.Add(n)
			for i := 0; i < n; i++ {
				go ended.Done()
			}
			ended.Wait()
		})
	}), "1/s")
}

func forkJoin() {
	figure("fork_join", stretch(20000, func(n int) float64 {
		return seconds(func() {
			var ended sync.WaitGroup
			ended.Add(n)
			for i := 0; i < n; i++ {
				channel := make(chan message, 4)
				go func() {
					<-channel
					ended.Done()
				}()
				channel <- message{number: 1}
			}
			ended.Wait()
		})
	}), "1/s")
}

// --- actors that write to each other

func pingPong() {
	asked, answered := make(chan message, 4), make(chan message, 4)
	go func() {
		for m := range asked {
			m.from <- message{kind: pong}
		}
	}()
	figure("ping_pong", 2*stretch(50000, func(n int) float64 {
		done := make(chan bool)
		return seconds(func() {
			go func() {
				for i := 0; i < n; i++ {
					asked <- message{kind: ping, from: answered}
					<-answered
				}
				close(done)
			}()
			<-done
		})
	}), "1/s")
}

func threadRing() {
	ring, done := channels(100, 4), make(chan bool)
	for i := range ring {
		in, out := ring[i], ring[(i+1)%len(ring)]
		go func() {
			for m := range in {
				if m.number == 0 {
					done <- true
					continue
				}
				m.number--
				out <- m
			}
		}()
	}
	figure("thread_ring", stretch(100000, func(n int) float64 {
		return seconds(func() {
			ring[0] <- message{number: n}
			<-done
		})
	}), "1/s")
}

func manyToOne(name string, count int) {
	figure(name, float64(count)*stretch(100000/count, func(each int) float64 {
		sink, done := make(chan message, 1024), make(chan bool)
		go func() {
			for i := 0; i < count*each; i++ {
				<-sink
			}
			close(done)
		}()
		return seconds(func() {
			for k := 0; k < count; k++ {
				go func() {
					for i := 0; i < each; i++ {
						sink <- message{number: i}
					}
				}()
			}
			<-done
		})
	}), "1/s")
}

func big() {
	const actors = 1000
	figure("big", 2*actors*stretch(50, func(n int) float64 {
		var done sync.WaitGroup
		all := channels(actors, actors+2)
		done.Add(actors)
		for i := range all {
			me, random, left := all[i], uint64(i+1), n
			next := func() {
				random = random * 48271 % 2147483647
				all[random%actors] <- message{kind: ping, from: me}
			}
			go func() {
				for m := range me {
					switch m.kind {
					case start:
						next()
					case ping:
						m.from <- message{kind: pong}
					case pong:
						left--
						if left == 0 {
							done.Done()
						} else {
							next()
						}
					}
				}
			}()
		}
		taken := seconds(func() {
			for i := range all {
				all[i] <- message{kind: start}
			}
			done.Wait()
		})
		closeAll(all)
		return taken
	}), "1/s")
}

func multicast() {
	const receivers = 256
	figure("multicast_256", receivers*stretch(100, func(n int) float64 {
		var done sync.WaitGroup
		all := channels(receivers, 8)
		done.Add(receivers)
		for i := range all {
			in := all[i]
			go func() {
				for k := 0; k < n; k++ {
					<-in
				}
				done.Done()
			}()
		}
		return seconds(func() {
			for k := 0; k < n; k++ {
				for i := range all {
					all[i] <- message{number: k}
				}
			}
			done.Wait()
		})
	}), "1/s")
}

// 999 pass on a token each, n times in all; the hot one gets as many messages.
func skewRate(hot chan message) float64 {
	const light = 999
	return light * stretch(200, func(each int) float64 {
		var done sync.WaitGroup
		all := channels(light, 8)
		done.Add(light)
		for i := range all {
			in, out := all[i], all[(i+1)%light]
			go func() {
				for m := range in {
					if m.number == 0 {
						done.Done()
						continue
					}
					if hot != nil {
						hot <- message{kind: ping}
					}
					m.number--
					out <- m
				}
			}()
		}
		taken := seconds(func() {
			for i := range all {
				all[i] <- message{number: each}
			}
			done.Wait()
		})
		closeAll(all)
		return taken
	})
}

func skew() {
	without := skewRate(nil)
	hot := make(chan message, 1024)
	go func() {
		for range hot {
		}
	}()
	figure("skew", skewRate(hot)/without, "share")
}

// --- time

func timerStart(index int) *time.Timer {
	return time.AfterFunc(time.Duration(600000+(index*7919)%600000)*time.Millisecond, func() {})
}

func timers() {
	n := scaled(1000000)
	all := make([]*time.Timer, n)
	before := residentBytes()
	for i := n; i > 0; i-- {
		all[i-1] = timerStart(i)
	}
	time.Sleep(100 * time.Millisecond)
	figure("timer_bytes", (residentBytes()-before)/float64(n), "B")
	figure("timer_start_cancel", stretch(20000, func(pairs int) float64 {
		return seconds(func() {
			for i := 0; i < pairs; i++ {
				timerStart(i).Stop()
			}
		})
	}), "1/s")
	runtime.KeepAlive(all)
}

// The waker's core is busy until the other has handled the message, so that it is that one which
// wakes.
func wake() {
	wakes := 500
	if quick {
		wakes = 100
	}
	var handled int32
	var waits []float64
	channel := make(chan time.Time, 4)
	go func() {
		for sent := range channel {
			waits = append(waits, float64(time.Since(sent).Nanoseconds())/1e3)
			atomic.StoreInt32(&handled, 1)
		}
	}()
	for i := 0; i < wakes; i++ {
		time.Sleep(2 * time.Millisecond)
		atomic.StoreInt32(&handled, 0)
		channel <- time.Now()
		for atomic.LoadInt32(&handled) == 0 {
		}
	}
	sort.Float64s(waits)
	figure("wake_p50_us", waits[len(waits)/2], "us")
	figure("wake_p99_us", waits[len(waits)*99/100], "us")
}

func main() {
	measurements := map[string]func(){
		"idle": idleBytes, "spawn": spawn, "spawn_exit": spawnExit, "fork_join": forkJoin,
		"ping_pong": pingPong, "thread_ring": threadRing,
		"counting":      func() { manyToOne("counting", 1) },
		"many_to_one_8": func() { manyToOne("many_to_one_8", 8) }, "many_to_one_64": func() { manyToOne("many_to_one_64", 64) },
		"big": big, "multicast_256": multicast, "skew": skew, "timers": timers, "wake": wake,
	}
	if len(os.Args) != 4 || measurements[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: go_actors MEASUREMENT full|quick wall|cpu")
		os.Exit(64)
	}
	quick, byCPU = os.Args[2] == "quick", os.Args[3] == "cpu"
	measurements[os.Args[1]]()
}
