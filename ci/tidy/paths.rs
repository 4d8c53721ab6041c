//! The paths that a source file names: its `use` trees, flattened, and every `a::b` written inline.

use super::tokens::{Kind, Token};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named<'a> {
    pub(crate) line: usize,
    pub(crate) segments: Vec<&'a str>,
    /// The inline modules (`mod tests { … }`) around it, outermost first: what `super` counts from.
    pub(crate) within: Vec<&'a str>,
}

pub(crate) fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Named<'a>> {
    let mut reader = Reader { tokens, at: 0, depth: 0, modules: Vec::new(), found: Vec::new() };
    while reader.at < tokens.len() {
        reader.step();
    }
    reader.found
}

struct Reader<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
    /// Open braces so far.
    depth: usize,
    /// Inline modules that are open, each with the depth inside it.
    modules: Vec<(usize, &'a str)>,
    found: Vec<Named<'a>>,
}

impl<'a> Reader<'_, 'a> {
    fn word(&self, ahead: usize) -> Option<&'a str> {
        self.tokens.get(self.at + ahead).filter(|token| token.kind == Kind::Word).map(|token| token.text)
    }

    fn is_mark(&self, ahead: usize, mark: &str) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(|token| token.is_mark(mark))
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    fn step(&mut self) {
        match self.word(0) {
            // `use<'a>` in a type captures lifetimes and imports nothing.
            Some("use") if !self.is_mark(1, "<") => {
                self.at += 1;
                self.use_tree(&[]);
            }
            Some("extern") if self.word(1) == Some("crate") => {
                self.at += 2;
                self.use_tree(&[]);
            }
            Some("mod") if self.is_mark(2, "{") => self.open_module(),
            Some(_) if self.is_mark(1, "::") => self.inline_path(),
            Some(_) | None => self.brace_or_other(),
        }
    }

    fn open_module(&mut self) {
        self.depth += 1;
        self.modules.extend(self.word(1).map(|name| (self.depth, name)));
        self.at += 3;
    }

    fn brace_or_other(&mut self) {
        if self.is_mark(0, "{") {
            self.depth += 1;
        } else if self.is_mark(0, "}") {
            self.modules.retain(|(inside, _)| *inside < self.depth);
            self.depth = self.depth.saturating_sub(1);
        }
        self.at += 1;
    }

    fn inline_path(&mut self) {
        let line = self.line();
        let mut segments = vec![self.tokens[self.at].text];
        self.at += 1;
        while self.is_mark(0, "::") {
            self.at += 1;
            let Some(segment) = self.word(0) else { break };
            segments.push(segment);
            self.at += 1;
        }
        // `name::<T>` is a call of something already in scope.
        if segments.len() > 1 {
            self.name(line, segments);
        }
    }

    /// One tree, up to but without the `,`, `}` or `;` that ends it.
    fn use_tree(&mut self, prefix: &[&'a str]) {
        let mut segments = prefix.to_vec();
        loop {
            if self.is_mark(0, "::") {
                self.at += 1;
            } else if self.is_mark(0, "{") {
                return self.use_group(&segments);
            } else if self.is_mark(0, "*") {
                self.at += 1;
                return self.name(self.line(), segments);
            } else if let Some(word) = self.word(0).filter(|word| *word != "as") {
                segments.push(word);
                self.at += 1;
            } else {
                break;
            }
        }
        let line = self.tokens.get(self.at.saturating_sub(1)).map_or(1, |token| token.line);
        self.name(line, segments);
        if self.word(0) == Some("as") {
            self.at += 2;
        }
    }

    fn use_group(&mut self, prefix: &[&'a str]) {
        self.at += 1;
        while self.at < self.tokens.len() && !self.is_mark(0, "}") {
            let before = self.at;
            self.use_tree(prefix);
            if self.is_mark(0, ",") || self.at == before {
                self.at += 1;
            }
        }
        self.at += 1;
    }

    fn name(&mut self, line: usize, segments: Vec<&'a str>) {
        let within = self.modules.iter().map(|(_, name)| *name).collect();
        self.found.push(Named { line, segments, within });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::paths;

    fn named(source: &str) -> Vec<String> {
        paths(&tokens(source)).iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn a_use_tree_is_flattened() {
        let source = "pub use crate::{store::{wal as log, manifest::*}, vector};\nuse ::std::{fs, io::{self, Read}};";
        let expected = [
            "crate::store::wal",
            "crate::store::manifest",
            "crate::vector",
            "std::fs",
            "std::io::self",
            "std::io::Read",
        ];
        assert_eq!(named(source), expected);
    }

    #[test]
    fn inline_paths_are_found_inside_types_macros_and_visibility() {
        let source =
            "fn f(x: Vec<crate::a::B>) -> impl T + use<'_> { fail::point!(\"p\"); x.go::<<u8 as std::fs::X>::Y>() }";
        assert_eq!(named(source), ["crate::a::B", "fail::point", "std::fs::X"]);
    }

    #[test]
    fn a_renamed_crate_is_found() {
        assert_eq!(named("extern crate stormproof_sim as s; use stormproof_sim as t;"), ["stormproof_sim"; 2]);
    }

    #[test]
    fn inline_modules_are_counted_and_closed() {
        let found = paths(&tokens("mod a { mod tests { fn f() {} use super::x; } use self::y; } use z::w;"));
        let within: Vec<&[&str]> = found.iter().map(|path| path.within.as_slice()).collect();
        assert_eq!(within, [&["a", "tests"][..], &["a"], &[]]);
    }

    #[test]
    fn lines_are_those_of_the_name_in_a_tree_of_many_lines() {
        let found = paths(&tokens("use crate::{\n    a,\n    b::c,\n};"));
        assert_eq!(found.iter().map(|path| path.line).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn broken_source_ends_all_the_same() {
        for source in ["use", "use {", "use a::{b, =, ;", "mod x {", "}}}", "extern crate", "a::"] {
            named(source);
        }
    }
}
