// Text that came from anyone, for a terminal.
#ifndef OUTBOUND_IMPORT_PRINTABLE_HPP
#define OUTBOUND_IMPORT_PRINTABLE_HPP

#include <string>
#include <string_view>

namespace importer {

/// Characters that a terminal obeys, in place of showing them, as `\u001b`: so that JSON stays the same JSON. U+FFFD
/// for what is no UTF-8.
std::string printable(std::string_view text);

}  // namespace importer
#endif
