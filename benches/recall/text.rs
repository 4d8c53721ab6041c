//! The report as text: what was searched, the targets, then each part in a table that fits a terminal.

use std::fmt::Write as _;

use super::{
    ask::Throughput,
    latency::Percentiles,
    report::{Aim, Asked, Bytes, Limited, Part, Phase, Point, Report, Swap, Verdict},
    target::Tuning,
};

/// The columns of a terminal that nobody has to widen.
const WIDTH: usize = 100;

/// All of it. Writing to a string cannot fail.
pub(super) fn text(report: &Report) -> String {
    let mut out = String::new();
    let Report { data, machine, file_system, parameters, .. } = report;
    let _ = writeln!(out, "{}", data.name);
    wrapped(&mut out, "", &format!("{machine}; store on {file_system}"));
    out.push('\n');
    let _ = writeln!(out, "  base      {}, {} rows of {}", data.base, data.rows, data.dim);
    let _ = writeln!(out, "  queries   {}, {}; answers: {}", data.queries_file, data.queries, data.truth);
    let _ = writeln!(out, "  asked     the {} nearest, {}", parameters.k, complexity(report.queries.complexity));
    let Tuning { index_mib, graph_degree, graph_complexity, row_format, search_memory_mib, build_memory_mib } =
        parameters.tuning;
    let _ = writeln!(
        out,
        "  built     degree {graph_degree}, complexity {graph_complexity}, rows of {}, in at most {build_memory_mib} MiB",
        row_format.name()
    );
    let _ =
        writeln!(out, "  memory    {search_memory_mib} MiB for the archive at most, {index_mib} for the exact index");
    data.notes.iter().for_each(|note| wrapped(&mut out, "  note      ", note));

    let _ = writeln!(out, "\n{:<34}{:>10}{:>12}  verdict", "target", "wanted", "found");
    for Aim { name, target, found, verdict } in &report.targets {
        let found = found.map_or_else(|| "-".into(), |it| format!("{it:.3}"));
        let _ = writeln!(out, "{name:<34}{target:>10}{found:>12}  {}", word(*verdict));
    }

    let _ = writeln!(out, "\n{:<34}{:>12}{:>15}{:>11}", "phase", "seconds", "resident MiB", "peak MiB");
    for phase in &report.phases {
        out += &phase_line(phase);
    }
    asked(&mut out, &report.queries, parameters.k);
    part(&mut out, "Queries with less memory", &report.limited, |out, it| limited(out, it, parameters.k));
    part(&mut out, "Queries while the archive is built again", &report.swap, swap);

    let _ = writeln!(out, "\n{:<34}{:>12}", "on disk", "MiB");
    for (place, bytes) in &report.disk_bytes {
        let _ = writeln!(out, "{place:<34}{:>12}", mib(*bytes));
    }
    let _ = writeln!(out, "{:<34}{:>12}", "in all", mib(report.disk_bytes.values().sum()));
    out.push('\n');
    report.not_measured.iter().for_each(|what| wrapped(&mut out, "not measured  ", what));
    out
}

/// A sentence behind its label, in as many lines as it takes.
fn wrapped(out: &mut String, label: &str, sentence: &str) {
    let mut line = label.to_owned();
    let mut begun = false;
    for word in sentence.split_whitespace() {
        if begun && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(out, "{line}");
            (line, begun) = (" ".repeat(label.chars().count()), false);
        }
        line += if begun { " " } else { "" };
        line += word;
        begun = true;
    }
    let _ = writeln!(out, "{line}");
}

pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::NotMeasured => "not measured",
    }
}

/// How wide a search is, in words.
pub(super) fn complexity(complexity: u32) -> String {
    if complexity == 0 { "as the engine is configured".into() } else { format!("complexity {complexity}") }
}

pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

fn phase_line(Phase { name, seconds, skipped, memory, .. }: &Phase) -> String {
    let (seconds, skipped) = (seconds.map(|it| format!("{it:.3}")), skipped.as_deref().unwrap_or(""));
    let bytes = |bytes: Option<u64>| bytes.map(mib).unwrap_or_default();
    let (resident, peak) = memory.map(|it| (bytes(it.resident), bytes(it.peak))).unwrap_or_default();
    match seconds {
        Some(seconds) => format!("{name:<34}{seconds:>12}{resident:>15}{peak:>11}").trim_end().to_owned() + "\n",
        None => format!("{name:<34}skipped: {skipped}\n"),
    }
}

fn part<T>(out: &mut String, title: &str, part: &Part<T>, draw: impl Fn(&mut String, &T)) {
    out.push('\n');
    match part {
        Part::Measured(it) => {
            let _ = writeln!(out, "{title}");
            draw(out, it);
        }
        Part::Skipped(why) => wrapped(out, "", &format!("{title}: skipped: {why}")),
        Part::Failed(why) => wrapped(out, "", &format!("{title}: failed: {why}")),
    }
}

fn asked(out: &mut String, asked: &Asked, k: u32) {
    let _ = writeln!(
        out,
        "\n{:<12}{:>14}{:>12}{:>12}{:>12}",
        "complexity", "recall, 1st", "recall, 2nd", "queries/s", "p99 ms"
    );
    for Point { complexity, recall_chosen_by, recall, per_second, p99_us, .. } in &asked.curve {
        let chosen = if *complexity == asked.complexity { "  chosen" } else { "" };
        let p99 = p99_us / 1e3;
        let _ = writeln!(
            out,
            "{complexity:<12}{recall_chosen_by:>14.4}{recall:>12.4}{per_second:>12.0}{p99:>12.3}{chosen}"
        );
    }
    let hundred = asked.recall_100.map_or_else(String::new, |recall| format!(", recall@100 {recall:.4}"));
    let share = asked.by_archive * 100.0;
    let _ = writeln!(out, "\nrecall@{k} {:.4}{hundred}; {share:.0}% by the archive, the rest compared", asked.recall);
    let _ = writeln!(out, "\n{}", heads("clients", "queries/s"));
    let _ = writeln!(out, "{}", line("1, alone", None, &asked.latency));
    for Throughput { threads, per_second, latency } in &asked.throughput {
        let _ = writeln!(out, "{}", line(&threads.to_string(), Some(*per_second), latency));
    }
    let Bytes { cold_queries, cold_called, cold_disk, warm_called, warm_disk } = asked.bytes;
    let kib = |bytes: Option<f64>| bytes.map_or_else(|| "-".into(), |it| format!("{:.1}", it / 1024.0));
    let _ = writeln!(out, "\n{:<34}{:>16}{:>16}", "KiB read by a query", "through calls", "from the disk");
    let cold = format!("the first {cold_queries}, nothing cached");
    let _ = writeln!(out, "{cold:<34}{:>16}{:>16}", kib(cold_called), kib(cold_disk));
    let _ = writeln!(out, "{:<34}{:>16}{:>16}", "after others", kib(warm_called), kib(warm_disk));
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".into(), mib);
    let _ = writeln!(
        out,
        "opened in {:.3} s with nothing cached; {} MiB resident, at most {}",
        asked.open_cold_s,
        bytes(asked.memory.resident),
        bytes(asked.memory.peak)
    );
    if let Part::Measured(places) = &asked.page_cache {
        let held: Vec<_> = places.iter().map(|(place, bytes)| format!("{place} {}", mib(*bytes))).collect();
        let all = mib(places.values().sum());
        wrapped(out, "", &format!("{all} MiB of the store in the page cache after others: {}", held.join(", ")));
    }
}

fn limited(out: &mut String, limited: &Limited, k: u32) {
    let Limited { ram_mb, index_mib, by, peak, .. } = limited;
    let peak = peak.map_or_else(String::new, |bytes| format!(", {} MiB used at most", mib(bytes)));
    let index = format!("at most {index_mib} MiB for the exact index");
    wrapped(out, "", &format!("{ram_mb} MiB, page cache included, by {by}{peak}; {index}"));
    asked(out, &limited.queries, k);
}

fn swap(out: &mut String, swap: &Swap) {
    let _ = writeln!(out, "{}", heads("one client", ""));
    for (when, latency) in
        [("before", swap.quiet), ("during", swap.during), ("across the swap", swap.across), ("after", swap.after)]
    {
        let _ = writeln!(out, "{}", line(when, None, &latency));
    }
    let Swap { rebuild_s, p50_ratio, p99_ratio, p99_ratio_across, recall, .. } = swap;
    let _ = writeln!(
        out,
        "rebuilt in {rebuild_s:.1} s; during it p50 {p50_ratio:.2} and p99 {p99_ratio:.2} times those before, across the\n\
         swap p99 {p99_ratio_across:.2}; recall {recall:.4}"
    );
}

fn heads(what: &str, rate: &str) -> String {
    format!(
        "{what:<16}{rate:>10}{:>9}{:>11}{:>10}{:>10}{:>10}{:>10}",
        "calls", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms"
    )
}

fn line(what: &str, per_second: Option<f64>, latency: &Percentiles) -> String {
    let rate = per_second.map_or_else(String::new, |it| format!("{it:.0}"));
    let Percentiles { calls, p50_us, p95_us, p99_us, p999_us, max_us } = latency;
    let [p50, p95, p99, p999, max] = [p50_us, p95_us, p99_us, p999_us, max_us].map(|us| us / 1e3);
    format!("{what:<16}{rate:>10}{calls:>9}{p50:>11.3}{p95:>10.3}{p99:>10.3}{p999:>10.3}{max:>10.3}")
}
