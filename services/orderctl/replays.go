package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

type jobView struct {
	ID          int64     `json:"id"`
	State       string    `json:"state"`
	DryRun      bool      `json:"dry_run"`
	Reason      string    `json:"reason"`
	By          string    `json:"by"`
	ApprovedBy  string    `json:"approved_by"`
	Selected    int       `json:"selected"`
	LeftOut     int       `json:"left_out"`
	Sent        int       `json:"sent"`
	WouldPass   int       `json:"would_pass"`
	WouldFail   int       `json:"would_fail"`
	Fixed       int       `json:"fixed"`
	FailedAgain int       `json:"failed_again"`
	Superseded  int       `json:"superseded"`
	Skipped     int       `json:"skipped"`
	Balanced    bool      `json:"balanced"`
	CreatedAt   time.Time `json:"created_at"`
	FinishedAt  time.Time `json:"finished_at"`
}

// settled is how many letters have their result.
func (j *jobView) settled() int {
	return j.WouldPass + j.WouldFail + j.Fixed + j.FailedAgain + j.Superseded + j.Skipped
}

// over tells whether nothing will happen to the job any more by itself.
func (j *jobView) over() bool {
	return j.State == "done" || j.State == "stopped" || j.State == "cancelled" && !j.FinishedAt.IsZero()
}

func (j *jobView) results() string {
	if j.DryRun {
		return fmt.Sprintf("would pass %d, would fail %d, superseded %d, skipped %d", j.WouldPass, j.WouldFail, j.Superseded, j.Skipped)
	}
	return fmt.Sprintf("fixed %d, failed again %d, superseded %d, skipped %d", j.Fixed, j.FailedAgain, j.Superseded, j.Skipped)
}

// verdict is nil for a job that went as it should.
func (j *jobView) verdict() error {
	nothing := j.Selected == 0 && j.LeftOut > 0 // not one of those that were meant
	if j.State == "done" && j.Balanced && j.FailedAgain == 0 && !nothing {
		return nil
	}
	return errRefused
}

func replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay FILTER...",
		Short: "send dead letters home to the service that gave up on them",
		Long: `replay freezes the letters that the filter chooses into a job, and the console sends them home at the given rate. A newer push
of the same order wins: such a letter ends superseded. --dry-run only asks the deployed code, and sends nothing. A large job
waits for a second person (orderctl replays approve). With --wait, and for a dry run, the command stays until the job ends;
Ctrl-C leaves the job running. A console that dies takes no job with it: the next one goes on, and so does the progress.

The exit status is 0 when the job was made, and with --wait only when it ended with nothing failed again; not
when every letter that matched was left out, since it failed too many replays.`,
		Example: "  orderctl dlq replay service=validate code=bad_amount --dry-run\n  orderctl dlq replay service=validate code=bad_amount --rate 1000 --reason 'mapping mended' --wait",
		Args:    cobra.ArbitraryArgs,
	}
	dryRun := cmd.Flags().Bool("dry-run", false, "ask the deployed code what would become of each letter, and send nothing")
	rate := cmd.Flags().Int("rate", 0, "letters a second; 0: as fast as they go")
	reason := cmd.Flags().String("reason", "", "why, for the audit and for who approves")
	wait := cmd.Flags().Bool("wait", false, "stay until the job ends, and show its progress")
	return withConsole(addFilter(cmd), func(ctx context.Context, c *console, args []string) error {
		filter, err := readFilter(cmd, args)
		if err != nil {
			return err
		}
		if len(filter) == 0 {
			return errors.New("say which letters: a FILTER, such as service=validate, or state=open,failed_again for all that want attention")
		}
		var job jobView
		body := map[string]any{"filter": filter, "dry_run": *dryRun, "rate": *rate, "reason": *reason}
		err = c.ask(ctx, http.MethodPost, "/api/replays", nil, body, &job)
		if errors.Is(err, errNoConsole) {
			return fmt.Errorf("%w\n  the job may have been made all the same: see orderctl replays ls before you make it again.\n  (a second job skips what the first has under way or has fixed)", err)
		}
		if err != nil {
			return err
		}
		if !c.raw {
			printf(c.out, "replay %d: %d letters, %s\n", job.ID, job.Selected, strings.ReplaceAll(job.State, "_", " "))
			c.hint(job)
		}
		if *wait || *dryRun {
			return c.follow(ctx, job)
		}
		return nil
	})
}

// hint says what a job waits for.
func (c *console) hint(job jobView) {
	if job.LeftOut > 0 {
		printf(c.out, "  %d more matched and are left out: they failed too many replays, and go by their numbers only\n", job.LeftOut)
	}
	switch job.State {
	case "waiting_approval":
		printf(c.out, "  it is large: a second person runs orderctl replays approve %d\n", job.ID)
	case "stopped":
		printf(c.out, "  it stopped by itself, since too many failed again: see orderctl dlq groups state=failed_again, then orderctl replays resume|cancel %d\n", job.ID)
	}
}

func replaysCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "replays", Short: "look after replay jobs"}
	ls := &cobra.Command{Use: "ls", Short: "list replay jobs, the newest first", Args: cobra.NoArgs}
	limit := ls.Flags().Int("limit", 20, "jobs at most")
	withConsole(ls, func(ctx context.Context, c *console, _ []string) error { return listJobs(ctx, c, max(*limit, 1)) })
	show := &cobra.Command{Use: "show NUMBER", Short: "show one job and its results", Args: cobra.ExactArgs(1)}
	wait := show.Flags().Bool("wait", false, "stay until the job ends, and show its progress")
	withConsole(show, func(ctx context.Context, c *console, args []string) error {
		var job jobView
		if err := c.ask(ctx, http.MethodGet, "/api/replays/"+url.PathEscape(args[0]), nil, nil, &job); err != nil {
			return err
		}
		if *wait {
			return c.follow(ctx, job)
		}
		c.printJob(job)
		return nil
	})
	cmd.AddCommand(ls, show)
	for action, short := range map[string]string{
		"approve": "let a large job of somebody else run", "pause": "stop sending for now", "resume": "go on with a paused or stopped job",
		"cancel": "end a job: what was not sent is skipped",
	} {
		move := &cobra.Command{Use: action + " NUMBER", Short: short, Args: cobra.ExactArgs(1)}
		reason := move.Flags().String("reason", "", "why, for the audit")
		cmd.AddCommand(withConsole(move, func(ctx context.Context, c *console, args []string) error {
			var job jobView
			err := c.ask(ctx, http.MethodPost, "/api/replays/"+url.PathEscape(args[0])+"/"+action, nil, map[string]string{"reason": *reason}, &job)
			if err == nil {
				c.printJob(job)
			}
			return err
		}))
	}
	return cmd
}

func (c *console) printJob(j jobView) {
	if c.raw {
		return
	}
	kind := "replay"
	if j.DryRun {
		kind = "dry run"
	}
	printf(c.out, "%s %d by %s: %s\n", kind, j.ID, j.By, strings.ReplaceAll(j.State, "_", " "))
	if j.ApprovedBy != "" {
		printf(c.out, "  approved by %s\n", j.ApprovedBy)
	}
	if j.Reason != "" {
		printf(c.out, "  reason: %s\n", j.Reason)
	}
	printf(c.out, "  %d selected, %d sent: %s\n", j.Selected, j.Sent, j.results())
	if !j.Balanced {
		fmt.Fprintln(c.out, "  IT DOES NOT ADD UP: a letter is missing from the account; tell an SRE")
	}
	c.hint(j)
}

func listJobs(ctx context.Context, c *console, most int) error {
	jobs, _, err := list[jobView](ctx, c, "/api/replays", url.Values{}, most)
	if err != nil || c.raw {
		return err
	}
	t := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tMADE\tBY\tSTATE\tSELECTED\tRESULTS\tREASON")
	for _, j := range jobs {
		state := strings.ReplaceAll(j.State, "_", " ")
		if j.DryRun {
			state += " (dry run)"
		}
		printf(t, "%d\t%s\t%s\t%s\t%d\t%s\t%s\n", j.ID, stamp(j.CreatedAt), j.By, state, j.Selected, j.results(), j.Reason)
	}
	return t.Flush()
}
