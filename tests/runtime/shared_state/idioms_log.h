// SPDX-License-Identifier: Apache-2.0
//
// A static in a header, as old programs have it: each source file gets its own.
#pragma once

static int log_prefix;
