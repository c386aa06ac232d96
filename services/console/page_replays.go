package main

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"orderflow/pkg/store"
)

func (c *console) jobsPage(r *http.Request, by user) (screen, error) {
	answer, err := c.listJobs(r, by)
	if err != nil {
		return screen{}, err
	}
	jobs, _ := answer.(page[jobAnswer])
	return screen{template: "replays", data: listView[jobAnswer]{jobs.Items, nextURL(r, jobs.Next)}, live: true}, nil
}

// newJobView is a replay to be made: of which letters, by which filter.
type newJobView struct {
	Filter  []filterRow
	Letters int
	Groups  []groupView
	Back    string // the list of the letters
	Approve bool   // so many that a second person has to look
	Size    int
	Times   int
	Rate    string // as typed
	Reason  string
	Fault   *failureView // what is wrong with the form
}

// filterRow is one field of a filter.
type filterRow struct{ Name, Value string }

// usualRate is what a partner takes without noticing.
const usualRate = 100

func (c *console) newJobPage(r *http.Request, by user) (screen, error) {
	groups, letters, err := c.groups(r, by)
	if err != nil {
		return screen{}, err
	}
	values := newFilterForm(r.URL.Query()).Values
	return screen{template: "replay_new", data: newJobView{
		Filter: filterRows(values), Letters: letters, Groups: groups, Back: address("/letters", values),
		Approve: letters > c.approvalSize, Size: c.approvalSize, Times: c.replayMaxTimes, Rate: strconv.Itoa(usualRate),
	}}, nil
}

func filterRows(values url.Values) []filterRow {
	var rows []filterRow
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			rows = append(rows, filterRow{name, value})
		}
	}
	return rows
}

func (c *console) createJobPage(r *http.Request, by user) (screen, error) {
	if err := r.ParseForm(); err != nil {
		return screen{}, badRequest("bad_body", "the form cannot be read, or is over 256 KiB")
	}
	filter := maps.Clone(r.PostForm)
	for _, name := range []string{"rate", "reason", "dry_run"} {
		delete(filter, name)
	}
	answer, err := c.createJobOf(r, by, filter)
	if fault, again := c.rejected(r, err); again {
		asked := r.Clone(r.Context())
		asked.URL.RawQuery = filter.Encode()
		s, errAgain := c.newJobPage(asked, by)
		v, ok := s.data.(newJobView)
		if !ok || errAgain != nil { // the filter itself is wrong, which nobody typed
			return screen{}, err
		}
		v.Rate, v.Reason, v.Fault = r.PostForm.Get("rate"), r.PostForm.Get("reason"), fault
		s.data, s.status = v, fault.status
		return s, nil
	}
	if err != nil {
		return screen{}, err
	}
	job, _ := answer.(jobAnswer)
	return screen{to: jobPath(job.ID)}, nil
}

func (c *console) createJobOf(r *http.Request, by user, filter url.Values) (any, error) {
	rate, err := strconv.Atoi(strings.TrimSpace(r.PostForm.Get("rate")))
	if err != nil {
		return nil, badRequest("bad_parameter", "rate: not a whole number")
	}
	asked, err := askAs(r, map[string]any{
		"filter": filter, "rate": rate, "reason": r.PostForm.Get("reason"), "dry_run": r.PostForm.Get("dry_run") == "yes",
	})
	if err != nil {
		return nil, err
	}
	return c.createJob(asked, by)
}

// jobView is a job as its page shows it, with what may be done about it now.
type jobView struct {
	jobAnswer
	FilterRows []filterRow
	Repeat     string // where the letters of a dry run are replayed
	Own        bool   // made by who looks
	Typed      string // as the reason to cancel it
	Fault      *failureView
}

func jobViewOf(j jobAnswer, by user) jobView {
	values := filterValues(j.Filter)
	v := jobView{jobAnswer: j, FilterRows: filterRows(values), Own: j.By == by.name}
	if j.DryRun && j.Over() {
		if j.Filter.Until.IsZero() { // what failed since then is not what was looked at
			values.Set("until", j.CreatedAt.Format(time.RFC3339Nano))
		}
		v.Repeat = address("/replays/new", values)
	}
	return v
}

// Finished is how many letters have their result.
func (j jobAnswer) Finished() int {
	return j.WouldPass + j.WouldFail + j.Fixed + j.FailedAgain + j.Superseded + j.Skipped
}

// Tenths is how far the job is, in steps that are worth saying aloud.
func (j jobAnswer) Tenths() string {
	if j.Selected == 0 {
		return "100%"
	}
	return strconv.Itoa(j.Finished()*10/j.Selected*10) + "%"
}

// Over tells whether nothing will change any more.
func (j jobAnswer) Over() bool { return !j.FinishedAt.IsZero() }

// Pausable, Resumable and Cancellable tell which decisions the job's state allows.
func (j jobAnswer) Pausable() bool { return j.State == store.JobRunning || j.State == store.JobPlanned }

// Resumable tells whether the job can go on.
func (j jobAnswer) Resumable() bool { return j.State == store.JobPaused || j.State == store.JobStopped }

// Cancellable tells whether the job can be given up.
func (j jobAnswer) Cancellable() bool {
	return j.State != store.JobDone && j.State != store.JobCancelled
}

// Waits tells whether a second person has to look.
func (j jobAnswer) Waits() bool { return j.State == store.JobWaitingApproval }

// filterValues writes a filter as a query has it.
func filterValues(f store.LetterFilter) url.Values {
	values := url.Values{}
	set := func(name, value string) {
		if value != "" {
			values.Set(name, value)
		}
	}
	for name, value := range map[string]string{
		"service": f.Service, "source": string(f.Source), "code": f.Code, "path": f.Path, "shop": f.Shop, "order_key": string(f.OrderKey), "q": f.Q,
	} {
		set(name, value)
	}
	for name, at := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !at.IsZero() {
			set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	if f.MinAmount.Valid {
		set("min_amount", f.MinAmount.Decimal.String())
	}
	ids := make([]string, len(f.IDs))
	for i, id := range f.IDs {
		ids[i] = strconv.FormatInt(id, 10)
	}
	set("ids", strings.Join(ids, ","))
	for _, state := range f.States {
		values.Add("state", string(state))
	}
	return values
}

func (c *console) jobPage(r *http.Request, by user) (screen, error) {
	answer, err := c.getJob(r, by)
	if err != nil {
		return screen{}, err
	}
	job, _ := answer.(jobAnswer)
	return screen{template: "replay", data: jobViewOf(job, by), live: !job.Over()}, nil
}

// itemsView are the letters of a job, those with one result if that was asked for.
type itemsView struct {
	listView[itemAnswer]
	Job     string
	Result  string
	Results []store.ItemResult
}

func (c *console) itemsPage(r *http.Request, by user) (screen, error) {
	answer, err := c.listItems(r, by)
	if err != nil {
		return screen{}, err
	}
	items, _ := answer.(page[itemAnswer])
	list := listView[itemAnswer]{items.Items, nextURL(r, items.Next)}
	return screen{template: "replay_letters", data: itemsView{list, r.PathValue("id"), r.URL.Query().Get("result"), itemResults}}, nil
}

func (c *console) moveJobPage(move func(ctx context.Context, id int64, by, reason string) (store.ReplayJob, error)) pageFunc {
	decide := c.moveJob(move)
	return func(r *http.Request, by user) (screen, error) {
		reason := r.PostFormValue("reason")
		asked, err := askAs(r, map[string]any{"reason": reason})
		if err == nil {
			_, err = decide(asked, by)
		}
		if fault, again := c.rejected(r, err); again {
			s, err := c.jobPage(r, by)
			if v, ok := s.data.(jobView); ok {
				v.Typed, v.Fault = reason, fault
				s.data, s.status, s.live = v, fault.status, false // at this address nothing can be asked for again
			}
			return s, err
		}
		return screen{to: "/replays/" + r.PathValue("id")}, err
	}
}
