package worker

import (
	"strings"
	"testing"
	"time"
)

func TestSettingsSayEveryMistakeAtOnce(t *testing.T) {
	wrong := Settings{Slot: "a b/..", RetryAfterMax: -time.Second}
	err := wrong.Validate()
	for _, name := range []string{"WORKER_SLOT", "MAX_ATTEMPTS", "LANES", "LANE_GAP", "RETRY_AFTER_MAX", "DEAD_LETTER_RATIO", "DEAD_LETTER_MIN"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
	if good := (Settings{}).withDefaults(); good.Validate() != nil {
		t.Errorf("the defaults are refused: %v", good.Validate())
	}
}
