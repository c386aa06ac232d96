package main

import "net/http"

// refusedView is the newest refused requests; More leads to a longer list.
type refusedView struct {
	Items []refusedAnswer
	More  string
}

func (c *console) quarantinePage(r *http.Request, by user) (screen, error) {
	answer, err := c.listRefused(r, by)
	if err != nil {
		return screen{}, err
	}
	list, _ := answer.(page[refusedAnswer])
	v := refusedView{Items: list.Items}
	if len(list.Items) >= usualLimit && r.URL.Query().Get("limit") == "" {
		v.More = "/quarantine?limit=500"
	}
	return screen{template: "quarantine", data: v}, nil
}

func (c *console) refusedPage(r *http.Request, by user) (screen, error) {
	answer, err := c.getRefused(r, by)
	return screen{template: "refused", data: answer}, err
}
