//! The regions of a `[[registry]]`: those of its data endpoints, and those of its regional login servers.

use std::ops::Range;

use toml::de::DeValue;

use super::document::{Section, Text, wrong_type};
use super::problem::quote;
use super::region::{self, Region};
use super::report::Report;
use super::suggest;

/// Most regions of one registry; there are not that many in all clouds together.
const REGIONS_MAX: usize = 256;

/// Regions, each once. One that is not known is a warning: regions appear.
pub(super) fn list(mut texts: Vec<Text<'_>>, report: &mut Report) -> Vec<Region> {
    if let Some(first) = texts.get(REGIONS_MAX) {
        let message = format!("{} regions are listed, {REGIONS_MAX} are the most", texts.len());
        let problem = report.error(&first.span, message);
        report.push(problem.hint("list the regions that the registry is replicated to"));
        texts.truncate(REGIONS_MAX);
    }
    let mut regions: Vec<(Region, Range<usize>)> = Vec::with_capacity(texts.len());
    for text in texts {
        let region: Region = match text.value.parse() {
            Ok(region) => region,
            Err(error) => {
                let problem =
                    report.error(&text.span, format!("{} is no region: {error}", quote(text.value)));
                let hint = match suggest::nearest(text.value, region::KNOWN) {
                    Some(known) => format!("write `{known}`"),
                    None => "`az account list-locations --query [].name` lists them".into(),
                };
                report.push(problem.hint(hint));
                continue;
            }
        };
        if let Some((_, first)) = regions.iter().find(|(known, _)| *known == region) {
            let problem = report.error(&text.span, format!("the region `{region}` stands twice"));
            let related = report.span(first);
            report.push(
                problem
                    .related(related, "first here")
                    .hint("take one of the two away"),
            );
            continue;
        }
        if !region.is_known() {
            let problem = report.warning(
                &text.span,
                format!("`{region}` is not a region known to this version"),
            );
            let hint = match suggest::nearest(region.as_str(), region::KNOWN) {
                Some(known) => format!("did you mean `{known}`? it is used as written"),
                None => {
                    "it is used as written; `az account list-locations --query [].name` lists them".into()
                }
            };
            report.push(problem.hint(hint));
        }
        regions.push((region, text.span));
    }
    regions.into_iter().map(|(region, _)| region).collect()
}

/// `true` is the regions of the data endpoints.
pub(super) fn regional_login_servers(
    section: &Section<'_>,
    data_regions: &[Region],
    report: &mut Report,
) -> Option<Vec<Region>> {
    const KEY: &str = "regional_login_servers";
    let value = section.get(KEY)?;
    match value.get_ref() {
        DeValue::Boolean(false) => None,
        DeValue::Boolean(true) => {
            if data_regions.is_empty() && section.get("data_regions").is_none() {
                let problem = report.error(
                    &value.span(),
                    format!("`{KEY} = true` means those of `data_regions`, and there are none"),
                );
                report.push_missing(problem.hint(format!("name the regions: `{KEY} = [\"eastus\"]`")));
            }
            Some(data_regions.to_vec())
        }
        DeValue::Array(_) | DeValue::String(_) => section
            .texts(KEY, "[\"eastus\"]", report)
            .map(|texts| list(texts, report)),
        _ => {
            wrong_type(
                KEY,
                "`true` or an array of regions",
                "[\"eastus\"]",
                value,
                report,
            );
            None
        }
    }
}
