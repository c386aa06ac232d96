package registry

// Known is how many schemas a decoder keeps.
func Known(d *Decoder) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.known)
}
