#ifndef SANDBOX_STATE_HPP
#define SANDBOX_STATE_HPP

#include "archive.hpp"
#include "bounded_log.hpp"
#include "calls.hpp"
#include "campaigns.hpp"
#include "deliveries.hpp"
#include "fault_rule.hpp"
#include "journal.hpp"
#include "json_text.hpp"
#include "movable_clock.hpp"
#include "refusal.hpp"
#include "user.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sandbox {

/// A request as it came in.
struct arrival {
  std::string path;
  std::string body;
  std::optional<std::string> guid;    ///< X-Outbound-GUID
  std::optional<std::string> client;  ///< X-Outbound-Client
  std::int64_t received = 0;          ///< Unix seconds, by the clock of the state, which sets it
};

/// How far someone has read. A life of the state, whose number is drawn, ends with the process or a reset.
struct bookmark {
  std::uint64_t life = 0;
  std::uint64_t position = 0;
};

/// What someone has not read yet.
struct news {
  struct item {
    std::string_view name;  ///< of a topic (journal.hpp), or of what became of a user
    std::uint64_t position;
    std::string text;  ///< JSON
  };
  bool starts_over = false;  ///< what was read before is of another life
  std::vector<item> items;
  bool is_all = false;  ///< else there is more
  bookmark end;
};

/// What the sandbox has understood, and what it was sent. Every member may be called from any thread.
class state {
 public:
  /// Begins with what `kept` has, and keeps there what survives (README). Throws `archive_error`.
  state(bool deduplicate, archive kept, std::vector<campaign> campaigns);

  /// Processes the checked bodies of one call, all or none to whoever looks meanwhile.
  void accept(const call& to, std::vector<json> bodies, arrival from);
  void reject(arrival from, const refusal& why);
  /// What became of the call is the answer's business; processed or not, this is only to be seen.
  void meet(const fault& planned, arrival from);
  /// Whether what accept gets again, by its GUID, is processed once only.
  void deduplicate(bool on);
  bool deduplicates() const;
  /// All but `deduplicate` and the campaigns.
  void reset();
  /// What the clock makes due, happens now. To be called before somebody looks.
  void catch_up();
  /// Stops the clock, or lets it run again, if that is said, and moves it forward then. Throws `refusal`.
  void change_clock(std::optional<bool> stopped, std::int64_t forward);

  json users() const;     ///< in the order of the text of their ids
  json events() const;    ///< in the order received; like all below, the newest (README)
  json requests() const;  ///< the accepted ones
  json rejected() const;
  json repeated() const;  ///< whose GUID came before
  json faulted() const;
  json campaigns() const;  ///< each with its runs
  json clock() const;
  /// As NDJSON, for there are many: the accepted ones.
  std::string deliveries() const;
  json totals() const;  ///< how many there were, those no longer kept included
  /// The oldest of what came after `since`, some hundred KiB of it.
  news news_since(bookmark since) const;

 private:
  static constexpr std::size_t max_requests = 10'000;
  static constexpr std::size_t max_deliveries = 250'000;

  /// In one piece, so that a reset cannot forget a part.
  struct contents {
    explicit contents(const std::vector<campaign>& campaigns);

    std::uint64_t life;
    std::map<std::string, user> users;  // by the text of the id
    journal told;
    bounded_log<arrival> requests{max_requests, 64 * mebibyte};
    bounded_log<delivery> deliveries{max_deliveries, 128 * mebibyte};
    guid_book guids;
    std::uint64_t duplicates = 0;
    std::uint64_t conflicts = 0;
    std::map<std::string, std::uint64_t> faults;  // how often each was met, by name
    campaign_runs runs;
    movable_clock clock;
  };

  // The caller of these holds the lock, and those that change something are called between `begin` and `commit` of
  // the archive.
  void judge(delivery& one);
  void apply(const call& to, json body, const arrival& from, const delivery& as);
  void track(json body, const arrival& from, const delivery& as);
  void identify(const json& body, std::int64_t now);
  user& user_of(const json& body);
  void add(topic about, json shown, std::size_t bytes);
  void introduce_campaigns();
  void changed(const std::string& id);
  void tell(const campaign_runs::changes& all);
  void pass();
  campaign_runs::find_user user_finder() const;
  json all_totals() const;
  std::string text_of(const journal::step& one) const;
  json shown(topic about) const;
  void commit();
  void restore();
  void restore_rows();
  void resume(const json& totals);

  const std::vector<campaign> campaigns_;
  mutable std::mutex lock_;
  contents all_{campaigns_};
  bool deduplicate_;
  archive archive_;
};

}  // namespace sandbox

#endif
