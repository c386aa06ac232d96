package published

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// A place is one of China's provinces or cities under a name by which it is called; whatever else a sender writes there is not.
func TestPlaces(t *testing.T) {
	for text, want := range map[string]string{
		" 浙江省 ": "浙江省", "浙江": "浙江", "内蒙古": "内蒙古", "内蒙古自治区": "内蒙古自治区", "广西壮族自治区": "广西壮族自治区", "新疆": "新疆",
		"香港": "香港", "香港特别行政区": "香港特别行政区", "北京市": "北京市", "上海": "上海", "海外": "海外",
		"": "", "杭州市": "", "王伟": "", "省": "", "市": "", "浙江省杭州市": "", "Zhejiang": "",
	} {
		if got := place(provinces, text); got != want {
			t.Errorf("province %q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		" 杭州市 ": "杭州市", "杭州": "杭州", "上海": "上海", "西双版纳傣族自治州": "西双版纳傣族自治州", "西双版纳州": "西双版纳州", "西双版纳": "西双版纳",
		"哈密地区": "哈密地区", "锡林郭勒盟": "锡林郭勒盟", "锡林郭勒": "锡林郭勒", "神农架林区": "神农架林区", "定安县": "定安县", "澳门": "澳门", "高雄市": "高雄市",
		"": "", "市": "", "州市": "", "杭": "", "浙江省": "", "海外": "",
		"王伟": "", "王伟市": "", "Zhang Wei": "", "欧阳娜娜": "", "李小龙收": "", "Xi'an": "", "O'Brien": "", "张": "",
		"杭州市西湖区文三路477号华星大厦": "", "杭州市文三路": "", "西湖区": "", "上海13122136787": "", "杭州王伟": "", "王伟杭州市": "", "杭 州": "",
		"杭州市\n王伟": "", "杭州市\x00": "", strings.Repeat("杭州", 1<<20): "",
	} {
		if got := place(cities, text); got != want {
			t.Errorf("city %.40q: %q, want %q", text, got, want)
		}
	}
}

// The list is whole: 31 provinces and their likes, Hong Kong, Macao and Taiwan, and no name is so short that it may be a surname.
func TestPlacesAreAllThere(t *testing.T) {
	if lines := strings.Count(placeNames, "\n"); lines != 34 {
		t.Errorf("%d provinces", lines)
	}
	if names := len(strings.Fields(placeNames)) - 34; names != 380 {
		t.Errorf("%d cities and their likes", names)
	}
	for _, names := range []map[string]bool{provinces, cities} {
		for name := range names {
			if n := utf8.RuneCountInString(name); n < 2 || strings.ContainsAny(name, "/ \n") {
				t.Errorf("%q", name)
			}
		}
	}
}
