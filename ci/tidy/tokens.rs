//! Rust source as a list of words, literals and marks, without comments.
//!
//! Enough to find paths and attributes and no more: text inside comments and strings must not look like code, and
//! code on either side of them must not be lost. It never fails: what is not Rust comes out as some list of tokens.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier or a keyword, without the `r#` of a raw one; also a number.
    Word,
    /// What stands between the quotes of a string, escapes unresolved.
    Literal,
    /// `::`, or any other single character.
    Mark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// From 1.
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is_word(&self, text: &str) -> bool {
        self.kind == Kind::Word && self.text == text
    }

    pub(crate) fn is_mark(&self, text: &str) -> bool {
        self.kind == Kind::Mark && self.text == text
    }
}

pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut scanner = Scanner { source, at: 0, line: 1, tokens: Vec::new() };
    while let Some(next) = scanner.peek() {
        scanner.step(next);
    }
    scanner.tokens
}

struct Scanner<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    tokens: Vec<Token<'a>>,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Moves over `bytes` bytes, which must end on a character, and counts the lines in them.
    fn skip(&mut self, bytes: usize) -> &'a str {
        let passed = &self.rest()[..bytes];
        self.line += passed.matches('\n').count();
        self.at += bytes;
        passed
    }

    fn push(&mut self, kind: Kind, text: &'a str, line: usize) {
        self.tokens.push(Token { kind, text, line });
    }

    fn step(&mut self, next: char) {
        let rest = self.rest();
        if next.is_whitespace() {
            self.skip(next.len_utf8());
        } else if rest.starts_with("//") {
            self.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.skip(block_comment_bytes(rest));
        } else if next == '"' {
            self.string(0, 0);
        } else if next == '\'' {
            self.skip(quote_bytes(rest));
        } else if is_word_part(next) {
            self.word();
        } else {
            let bytes = if rest.starts_with("::") { 2 } else { next.len_utf8() };
            let line = self.line;
            let mark = self.skip(bytes);
            self.push(Kind::Mark, mark, line);
        }
    }

    /// A word, unless it is the prefix of a string (`b"`, `r#"`) or of a raw identifier (`r#`) or a byte (`b'`).
    fn word(&mut self) {
        let rest = self.rest();
        let bytes = rest.find(|c| !is_word_part(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(bytes);
        let hashes = after.len() - after.trim_start_matches('#').len();
        let quoted = after[hashes..].starts_with('"');
        match word {
            "r" | "br" | "cr" if quoted => self.string(bytes + hashes, hashes + 1),
            "b" | "c" if quoted && hashes == 0 => self.string(bytes, 0),
            "b" if after.starts_with('\'') => {
                self.skip(bytes);
            }
            "r" if hashes == 1 && after[1..].starts_with(is_word_part) => {
                self.skip(bytes + hashes);
            }
            _ => {
                let line = self.line;
                self.skip(bytes);
                self.push(Kind::Word, word, line);
            }
        }
    }

    /// A string whose opening quote stands after `prefix` bytes. `raw` is 0 for one with escapes, else one more than
    /// the number of hashes around it.
    fn string(&mut self, prefix: usize, raw: usize) {
        let line = self.line;
        self.skip(prefix + 1);
        let rest = self.rest();
        let (length, closing) = if raw == 0 {
            (escaped_bytes(rest, '"'), 1)
        } else {
            let close = format!("\"{}", "#".repeat(raw - 1));
            (rest.find(&close).unwrap_or(rest.len()), close.len())
        };
        let text = self.skip(length);
        self.push(Kind::Literal, text, line);
        self.skip(closing.min(self.rest().len()));
    }
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The bytes before the first `quote` that no backslash escapes, or all of them.
fn escaped_bytes(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at;
        }
    }
    text.len()
}

/// A character literal whole, or the quote alone of a lifetime, whose name then comes out as a word.
fn quote_bytes(rest: &str) -> usize {
    let mut inside = rest[1..].chars();
    let first = inside.next();
    let is_character = first == Some('\\') || (first.is_some() && inside.next() == Some('\''));
    if !is_character {
        return 1;
    }
    (1 + escaped_bytes(&rest[1..], '\'') + 1).min(rest.len())
}

/// Block comments nest.
fn block_comment_bytes(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Kind, tokens};

    fn words(source: &str) -> Vec<&str> {
        tokens(source).into_iter().filter(|token| token.kind == Kind::Word).map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_strings_hold_no_words() {
        let source = "a // b\n/* c /* d */ e */ f \"g \\\" h\" r#\"i \" j\"# b\"k\" br##\"l\"# m\"## 'n' b'o' '\\'' p";
        assert_eq!(words(source), ["a", "f", "p"]);
    }

    #[test]
    fn a_lifetime_is_not_the_start_of_a_character() {
        assert_eq!(
            words("fn f<'a>(x: &'a str, y: char) { y == 'z' }"),
            ["fn", "f", "a", "x", "a", "str", "y", "char", "y"]
        );
    }

    #[test]
    fn raw_identifiers_lose_their_prefix() {
        assert_eq!(words("r#type r"), ["type", "r"]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_strings() {
        let found = tokens("/* \n */ \"\n\n\"\n x").last().map(|token| (token.text, token.line));
        assert_eq!(found, Some(("x", 5)));
    }

    proptest! {
        #[test]
        fn any_text_becomes_tokens_that_stand_in_it_in_order(source in "([/*\"'#\\\\rb:{}a\n é]|::){0,60}") {
            let found = tokens(&source);
            prop_assert!(found.is_sorted_by_key(|token| token.line));
            for token in found {
                prop_assert!(source.contains(token.text));
                prop_assert!(token.line <= source.lines().count().max(1));
            }
        }
    }
}
