// SPDX-License-Identifier: Apache-2.0
//
// A checksum of bytes that come in parts, for programs with threads: each thread has one under way.
#pragma once

#include <stddef.h>
#include <stdint.h>

void digest_begin(void);
void digest_add(const void* data, size_t bytes);
uint32_t digest_value(void);  // of all bytes since digest_begin()
