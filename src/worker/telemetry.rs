//! Writes the operator's log and metrics.

use worker::{AnalyticsEngineDataPointBuilder, Env, console_error, console_log};

use super::bindings;
use crate::{
    problem::Cause,
    telemetry::{DataPoint, FailureLine},
};

/// Writes the line of a request.
pub fn log(line: &str) {
    console_log!("{line}");
}

/// Logs a failure from which a request, or an object's alarm (`request_id` is `None`), recovers.
pub fn failure(request_id: Option<&str>, failure: &str, cause: &Cause) {
    console_error!("{}", FailureLine::new(request_id, failure, cause).to_json());
}

/// Writes a data point, if a dataset is bound.
pub fn measure(env: &Env, request_id: Option<&str>, point: &DataPoint) {
    let Some(dataset) = bindings::metrics(env) else { return };
    let built = AnalyticsEngineDataPointBuilder::new()
        .indexes([point.index()])
        .blobs(point.blobs())
        .doubles(point.doubles().iter().map(|value| *value as f64));
    if let Err(error) = built.write_to(&dataset) {
        failure(request_id, "a data point was not written", &Cause::new(error));
    }
}
