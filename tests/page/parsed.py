# A page of ours, taken apart: what tests of pages without a browser look at.
import collections
import html.parser


class Page(html.parser.HTMLParser):
    """Its tables, a list of rows of cells each, its text, and how often each tag stands there; every element is closed
    as it was opened."""
    void = {"meta", "img", "path", "circle", "rect", "br"}

    def __init__(self, text):
        super().__init__()
        self.raw, self.text = text, ""
        self.open, self.tables, self.tags = [], [], collections.Counter()
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        if tag not in self.void:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags[tag] += 1

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes another: {self.open}"
        self.open.pop()

    def handle_data(self, data):
        self.text += data
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += data


def page_read(path):
    with open(path, encoding="utf-8") as file:
        return Page(file.read())
