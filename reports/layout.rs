//! How text is laid out: numbers that can be read, lines that end where a terminal does, columns that line up.

use std::fmt::Write as _;

/// The columns of a terminal that nobody has to widen.
pub(crate) const WIDTH: usize = 100;

/// Where the values of a block begin.
const VALUES: usize = 14;

/// A number with its thousands set apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A length of time in the two units that matter.
pub(crate) fn duration(ns: u64) -> String {
    let tenths = ns / 100_000_000;
    let secs = ns / 1_000_000_000;
    match secs {
        0 if ns < 1_000_000 => format!("{} us", ns / 1_000),
        0 => format!("{} ms", ns / 1_000_000),
        1..60 => format!("{}.{} s", tenths / 10, tenths % 10),
        60..3_600 => format!("{} min {} s", secs / 60, secs % 60),
        3_600..86_400 => format!("{} h {} min", secs / 3_600, secs / 60 % 60),
        _ => format!("{} d {} h", count(secs / 86_400), secs / 3_600 % 24),
    }
}

/// `1 run`, `2 runs`.
pub(crate) fn plural(number: u64, word: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {word}{s}", count(number))
}

/// A labelled value, its words wrapped and lined up.
pub(crate) fn field(out: &mut String, label: &str, value: &str) {
    wrapped(out, label, value.split_whitespace());
}

/// A labelled list. Its items are not broken; an empty one says so.
pub(crate) fn list(out: &mut String, label: &str, items: &[String], empty: &str) {
    let Some((last, rest)) = items.split_last() else { return field(out, label, empty) };
    let pieces: Vec<String> = rest.iter().map(|item| format!("{item},")).chain([last.clone()]).collect();
    wrapped(out, label, pieces.iter().map(String::as_str));
}

fn wrapped<'a>(out: &mut String, label: &str, pieces: impl Iterator<Item = &'a str>) {
    let mut line = format!("  {label:<width$}", width = VALUES - 2);
    let mut is_fresh = true;
    for piece in pieces {
        if !is_fresh && line.chars().count() + 1 + piece.chars().count() > WIDTH {
            let _ = writeln!(out, "{}", line.trim_end());
            line = " ".repeat(VALUES);
            is_fresh = true;
        }
        if !is_fresh {
            line.push(' ');
        }
        line.push_str(piece);
        is_fresh = false;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

/// Lines as they are, moved to where values stand; only what is wider than a terminal is wrapped.
pub(crate) fn verbatim(out: &mut String, label: &str, text: &str) {
    for (place, line) in text.lines().enumerate() {
        let label = if place == 0 { label } else { "" };
        if line.chars().count() > WIDTH - VALUES {
            field(out, label, line);
        } else {
            let _ = writeln!(out, "{}", format!("  {label:<width$}{line}", width = VALUES - 2).trim_end());
        }
    }
}

/// Rows in columns: the first to the left, the others to the right, but for the last.
pub(crate) fn table(out: &mut String, rows: &[Vec<String>]) {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ if column == columns - 1 => write!(line, "   {cell}"),
                _ => write!(line, "   {cell:>width$}"),
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")];
        for (number, words) in cases {
            assert_eq!(count(number), words);
        }
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn a_time_is_said_in_the_units_that_matter() {
        let ms = 1_000_000;
        let cases = [
            (12_345, "12 us"),
            (37 * ms, "37 ms"),
            (10_260 * ms, "10.2 s"),
            (250_000 * ms, "4 min 10 s"),
            (11_520_000 * ms, "3 h 12 min"),
            (90_000_000 * ms, "1 d 1 h"),
        ];
        for (ns, words) in cases {
            assert_eq!(duration(ns), words);
        }
    }

    #[test]
    fn a_list_wraps_between_its_items_and_never_inside() {
        let items: Vec<String> = (0..40).map(|n| format!("fault kind {n}")).collect();
        let mut out = String::new();
        list(&mut out, "faults", &items, "none");
        assert!(out.lines().count() > 3);
        assert!(out.lines().all(|line| line.chars().count() <= WIDTH && !line.ends_with("kind")), "{out}");
        assert!(out.lines().skip(1).all(|line| line.starts_with(&" ".repeat(VALUES))), "{out}");
    }

    #[test]
    fn lines_stay_as_they_are_unless_they_are_too_wide() {
        let mut out = String::new();
        verbatim(&mut out, "evidence", &format!("a  b\n{}", "word ".repeat(40)));
        assert!(out.starts_with("  evidence    a  b\n"), "{out}");
        assert!(out.lines().count() > 2 && out.lines().all(|line| line.chars().count() <= WIDTH), "{out}");
    }

    #[test]
    fn an_empty_list_says_so() {
        let mut out = String::new();
        list(&mut out, "faults", &[], "none");
        assert_eq!(out, "  faults      none\n");
    }
}
