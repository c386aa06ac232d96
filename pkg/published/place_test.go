package published

import "testing"

// A place is a place's name and nothing finer; a label holds no phone number.
func TestPlacesAndLabels(t *testing.T) {
	for text, want := range map[string]string{
		"":               "",
		"上海":             "上海",
		" 杭州市 ":          "杭州市",
		"西双版纳傣族自治州":      "西双版纳傣族自治州",
		"Xi'an":          "Xi'an",
		"Inner Mongolia": "Inner Mongolia",
		"杭州市西湖区文三路477号华星大厦": "",
		"杭州市文三路":            "",
		"上海13122136787":     "",
		"上海１３１":             "",
		"李小龙收":              "",
		"a, b":              "",
		"呼伦贝尔呼伦贝尔呼伦贝尔呼伦贝尔呼伦贝尔市": "",
	} {
		if got := place(text); got != want {
			t.Errorf("place %q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"OKKI Lite管理软件V1.0":      "OKKI Lite管理软件V1.0",
		"15026609123456":         "15026609123456", // a bar code
		"送货给李小龙电话13912345678":    "",
		"call +86 139-1234-5678": "",
		"13912345678":            "13912345678", // the code of a shop
	} {
		if got := label(text); got != want {
			t.Errorf("label %q: %q, want %q", text, got, want)
		}
	}
}
