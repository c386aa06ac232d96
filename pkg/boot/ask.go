package boot

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
)

// settingRow matches a row of the table that Usage prints.
var settingRow = regexp.MustCompile(`(?m)^([A-Z][A-Z0-9_]*)  `)

// SettingsOf asks a service's program for the names of its settings: whoever starts services hands each of them what it
// reads and nothing else, so no secret goes where nobody needs it.
func SettingsOf(ctx context.Context, program string) ([]string, error) {
	table, err := exec.CommandContext(ctx, program, "-h").Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("ask %s for its settings: %w: %s", program, err, exit.Stderr)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s for its settings: %w", program, err)
	}
	var names []string
	for _, row := range settingRow.FindAllSubmatch(table, -1) {
		if name := string(row[1]); name != "SETTING" { // the table's head
			names = append(names, name)
		}
	}
	return names, nil
}
