// The peer: golang.org/x/time/rate in a map behind a mutex, as it is usually used.
// Prints the nanoseconds of one decision. Usage: xrate KEYS OPERATIONS
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

type limiters struct {
	mutex sync.Mutex
	keys  map[string]*rate.Limiter
}

func (l *limiters) allow(key string) bool {
	l.mutex.Lock()
	limiter, ok := l.keys[key]
	if !ok {
		limiter = rate.NewLimiter(1e9, 1000000000)
		l.keys[key] = limiter
	}
	l.mutex.Unlock()
	return limiter.Allow()
}

func main() {
	count, _ := strconv.Atoi(os.Args[1])
	operations, _ := strconv.Atoi(os.Args[2])
	keys := make([]string, count)
	all := &limiters{keys: map[string]*rate.Limiter{}}
	for i := range keys {
		keys[i] = fmt.Sprintf("client-%08d", i)
		all.allow(keys[i])
	}
	state := uint64(88172645463325252)
	allowed := 0
	start := time.Now()
	for i := 0; i < operations; i++ {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		if all.allow(keys[(state>>11)%uint64(count)]) {
			allowed++
		}
	}
	elapsed := time.Since(start)
	if allowed != operations {
		panic("denied")
	}
	fmt.Println(float64(elapsed.Nanoseconds()) / float64(operations))
}
