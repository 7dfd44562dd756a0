// SPDX-License-Identifier: Apache-2.0
//
// The man pages, as mdoc(7): templates with the table of the command line in them.
#pragma once

#include <string>
#include <string_view>

namespace aiofiber::tool {

// `page` with these lines replaced: @forms@, @commands@, @options@, @exits@; and with these words: @version@,
// @date@ (as mdoc wants it: "March 1, 2026"). `date` is 2026-03-01. Throws std::runtime_error if it is not,
// or for an unknown @line@.
std::string manual(std::string_view page, std::string_view version, std::string_view date);

}  // namespace aiofiber::tool
