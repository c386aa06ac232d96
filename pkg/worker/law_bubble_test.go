//go:build synctests

package worker

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"orderflow/pkg/bustest"
)

// The tag is franz-go's own: its locks then let the clock of a bubble jump while somebody waits for one.
func TestLawsUnderManyRandomFaults(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broker, options := bustest.StartVirtual(t)
				w := newWorld(t, broker, seed)
				w.pace = pace{2 * time.Second, 45 * time.Second, 10 * time.Second, 20 * time.Second, 15, 2}
				w.run(30, 20, options, 12*time.Hour)
			})
		})
	}
}
