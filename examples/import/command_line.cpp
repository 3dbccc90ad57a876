#include "command_line.hpp"

#include "outbound.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <map>

namespace importer {
namespace {

constexpr int exit_usage = 2;

constexpr const char* about =
    "Sends the users or events of a CSV or NDJSON file to Outbound. Run it again after an interruption: it goes on "
    "where it was, and no row is posted twice.";

constexpr const char* exit_codes =
    "Exit codes: 0 every row was delivered; 1 rows were refused, and are in the file of --refused; 2 it cannot begin, "
    "or cannot go on; 3 it was stopped before the end: run it again.";

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

void complete(command_line& c) {
  if (c.format.empty()) {
    if (ends_with(c.file, ".csv")) c.format = "csv";
    else if (ends_with(c.file, ".ndjson") || ends_with(c.file, ".jsonl")) c.format = "ndjson";
    else throw CLI::ValidationError("--format", "csv or ndjson? The file's name does not say");
  }
  if (c.journal.empty()) c.journal = c.file + ".import.db";
  if (c.refused.empty()) c.refused = c.file + ".refused.ndjson";
  if (c.key.empty() && !c.dry_run) throw CLI::ValidationError("--key", "set OUTBOUND_KEY to the private API key");
}

}  // namespace

bool read_command_line(int count, char** arguments, command_line& out, int& exit_code) {
  CLI::App app{about, "outbound-import"};
  app.footer(exit_codes);
  app.set_version_flag("--version", OUTBOUND_VERSION_STRING);
  std::string delimiter{out.delimiter};
  const std::map<std::string, kind> kinds{{"users", kind::users}, {"events", kind::events}};
  std::string what;
  app.add_option("what", what, "users or events")->required()->check(CLI::IsMember({"users", "events"}));
  app.add_option("file", out.file, "the file to read")->required()->check(CLI::ExistingFile);
  app.add_option("--map", out.maps,
                 "COLUMN=FIELD[:TYPE]; may be given again. FIELD: user_id, email, ..., "
                 "attributes.NAME, properties.NAME, or - for nowhere. TYPE, of text: number, "
                 "boolean, json, time")
      ->type_name("MAP")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--mapping", out.mapping_file, "the same as a JSON file: {\"COLUMN\": \"FIELD\"}");
  app.add_option("--format", out.format, "csv or ndjson; else the file's name says it")
      ->check(CLI::IsMember({"csv", "ndjson"}));
  app.add_option("--delimiter", delimiter, "between the cells of CSV")->capture_default_str();
  app.add_option("--url", out.url, "of the API")->capture_default_str();
  app.add_option("--key", out.key, "the private API key; better in the environment, where `ps` does not show it")
      ->envname("OUTBOUND_KEY");
  app.add_option("--workers", out.workers, "requests at a time")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_option("--journal", out.journal, "where it remembers how far it is; FILE.import.db by default");
  app.add_option("--refused", out.refused, "where to write refused rows; FILE.refused.ndjson by default");
  app.add_flag("--same-account", out.same_account, "go on with another key of the account than so far");
  app.add_flag("--dry-run", out.dry_run, "print what would be sent, and send nothing");
  app.add_flag("--allow-warnings", out.allow_warnings, "send rows that look like a mistake, too: a user \"null\", say");
  try {
    app.parse(count, arguments);
    out.what = kinds.at(what);
    if (delimiter == "\\t") delimiter = "\t";
    if (delimiter.size() != 1 || delimiter == "\"" || delimiter == "\n" || delimiter == "\r")
      throw CLI::ValidationError("--delimiter", "takes one character");
    out.delimiter = delimiter[0];
    complete(out);
    return true;
  } catch (const CLI::ExtrasError&) {
    std::fprintf(stderr, "outbound-import: there is an argument too many; --help shows the options\n");
    exit_code = exit_usage;  // it is not repeated here: it may be the key
  } catch (const CLI::ParseError& why) {
    exit_code = app.exit(why) == 0 ? 0 : exit_usage;
  }
  return false;
}

}  // namespace importer
