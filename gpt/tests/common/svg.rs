//! Reads a picture back: the elements of an SVG with their attributes and their text.

/// An element.
#[derive(Clone, Debug)]
pub struct Element {
    pub name: String,
    attributes: Vec<(String, String)>,
    pub text: String,
}

impl Element {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn number(&self, key: &str) -> f64 {
        let value = self.get(key).unwrap_or_else(|| panic!("{key} is missing in {self:?}"));
        value.parse().unwrap_or_else(|_| panic!("{key} is no number in {self:?}"))
    }

    /// The numbers of an attribute such as `points` or `transform`.
    #[track_caller]
    pub fn numbers(&self, key: &str) -> Vec<f64> {
        let value = self.get(key).unwrap_or_else(|| panic!("{key} is missing in {self:?}"));
        let parts = value.split(|c: char| !(c.is_ascii_digit() || ".-".contains(c))).filter(|part| !part.is_empty());
        parts.map(|part| part.parse().unwrap_or_else(|_| panic!("{part:?} in {self:?}"))).collect()
    }
}

/// All elements in their order; the end of one is an element whose name begins with `/`.
#[track_caller]
pub fn elements(svg: &str) -> Vec<Element> {
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
    svg.split('<').skip(1).map(element).collect()
}

fn element(part: &str) -> Element {
    let (tag, text) = part.split_once('>').unwrap_or_else(|| panic!("no end of a tag in {part:?}"));
    let tag = tag.trim_end_matches('/');
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    let mut attributes = Vec::new();
    while let Some((key, value)) = rest.trim_start().split_once("=\"") {
        let (value, after) = value.split_once('"').unwrap_or_else(|| panic!("no end of a value in {tag:?}"));
        attributes.push((key.to_string(), unescape(value)));
        rest = after;
    }
    let name = if name.is_empty() { tag } else { name };
    Element { name: name.to_string(), attributes, text: unescape(text.trim_matches('\n')) }
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}
