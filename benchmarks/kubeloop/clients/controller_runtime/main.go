// Command controller_runtime is the peer in Go: a manager, its cache of typed Pods (all fields decoded), and a
// controller where there is something to reconcile. It measures itself as the clients in Python do (measure.py).
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const settle = 500 * time.Millisecond

var (
	server   = flag.String("server", "", "URL of the replay server")
	workload = flag.String("workload", "cache", "cache, reconcile or patch")
	pods     = flag.Int("pods", 10000, "")
	events   = flag.Int("events", 10000, "")
	patches  = flag.Int("patches", 1000, "")
	inFlight = flag.Int("in-flight", 50, "")
	paced    = flag.Int("paced", 500, "")
	perS     = flag.Float64("per-s", 100, "")
	form     = flag.String("content-type", "application/json", "what to ask for; empty: controller-runtime's choice")
)

func main() {
	flag.Parse()
	ctrl.SetLogger(logr.Discard())
	measured := newMeter()
	config := &rest.Config{Host: *server, QPS: -1}
	config.ContentType = *form
	switch *workload {
	case "cache", "reconcile":
		follow(config, measured)
	case "patch":
		patch(config, measured)
	}
	must(json.NewEncoder(os.Stdout).Encode(measured.figures))
}

func follow(config *rest.Config, measured *meter) {
	manager, err := ctrl.NewManager(config, ctrl.Options{Metrics: metricsserver.Options{BindAddress: "0"}})
	must(err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	seen := &seen{done: make(chan struct{}, 1)}
	seen.expect(*pods)
	if *workload == "reconcile" {
		call := reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) {
			seen.call()
			return reconcile.Result{}, nil
		})
		must(ctrl.NewControllerManagedBy(manager).For(&corev1.Pod{}).Complete(call))
	} else {
		informer, err := manager.GetCache().GetInformer(ctx, &corev1.Pod{}, cache.BlockUntilSynced(false))
		must(err)
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { seen.call() },
			UpdateFunc: func(any, any) { seen.call() },
		})
		must(err)
	}
	go func() { must(manager.Start(ctx)) }()
	<-seen.done
	measured.lap("list", *pods)
	phase := func(name string, count int, perS float64) {
		time.Sleep(settle)
		seen.expect(count)
		bench(http.MethodPost, fmt.Sprintf("/bench/events?count=%d&per_s=%f", count, perS))
		measured.begin()
		<-seen.done
		measured.lap(name, count)
	}
	phase("event", *events, 0)
	if *workload == "cache" {
		return
	}
	phase("paced", *paced, *perS)
	var sent []float64
	must(json.Unmarshal(bench(http.MethodGet, "/bench/sent"), &sent))
	measured.latencies(seen.times, sent)
}

func patch(config *rest.Config, measured *meter) {
	direct, err := client.New(config, client.Options{})
	must(err)
	numbers := make(chan int, *patches)
	for number := range *patches {
		numbers <- number
	}
	close(numbers)
	measured.begin()
	var workers sync.WaitGroup
	for range *inFlight {
		workers.Go(func() {
			for number := range numbers {
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
					Name: fmt.Sprintf("checkout-7d9c6b5f84-%05d", number), Namespace: fmt.Sprintf("shop-%02d", number%100),
				}}
				body := fmt.Appendf(nil, `{"status":{"message":"patch %d"}}`, number)
				must(direct.Status().Patch(context.Background(), pod, client.RawPatch(types.MergePatchType, body)))
			}
		})
	}
	workers.Wait()
	measured.lap("patch", *patches)
}

// seen counts the calls of the user's code.
type seen struct {
	mutex  sync.Mutex
	times  []float64
	wanted int
	done   chan struct{}
}

func (s *seen) expect(count int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.times, s.wanted = s.times[:0], count
}

func (s *seen) call() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.times = append(s.times, monotonic())
	if len(s.times) == s.wanted {
		s.done <- struct{}{}
	}
}

// meter measures laps of CPU.
type meter struct {
	figures   map[string]float64
	cpu, wall float64
}

func newMeter() *meter {
	measured := &meter{figures: map[string]float64{"start_s": cpuS(), "start_rss_mb": peakRSSMB()}}
	measured.begin()
	return measured
}

func (m *meter) begin() { m.cpu, m.wall = cpuS(), monotonic() }

func (m *meter) lap(name string, items int) {
	m.figures[name+"_us"] = (cpuS() - m.cpu) / float64(items) * 1e6
	m.figures[name+"_wall_us"] = (monotonic() - m.wall) / float64(items) * 1e6
	m.figures[name+"_rss_mb"] = peakRSSMB()
	m.begin()
}

func (m *meter) latencies(seen, sent []float64) {
	taken := make([]float64, len(sent))
	for at := range sent {
		taken[at] = seen[at] - sent[at]
	}
	sort.Float64s(taken)
	m.figures["latency_ms"] = taken[len(taken)/2] * 1e3
	m.figures["latency_p99_ms"] = taken[len(taken)*99/100] * 1e3
}

func cpuS() float64 {
	var used unix.Rusage
	must(unix.Getrusage(unix.RUSAGE_SELF, &used))
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}

func monotonic() float64 {
	var now unix.Timespec
	must(unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
	return float64(now.Nano()) / 1e9
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

func peakRSSMB() float64 {
	status, err := os.ReadFile("/proc/self/status")
	must(err)
	kb, err := strconv.Atoi(string(highWater.FindSubmatch(status)[1]))
	must(err)
	return float64(kb) / 1024
}

func bench(method, path string) []byte {
	request, err := http.NewRequest(method, *server+path, nil)
	must(err)
	answer, err := http.DefaultClient.Do(request)
	must(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(err)
	return body
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
