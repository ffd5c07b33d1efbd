// Versions and locks in buckets of their own: one that keeps versions, one with object lock.
#pragma once

// `endpoint` of a server where buckets may be made, credentials in AWS_*. Returns the number of failed tests.
int s3_versions_run(const char *endpoint);
