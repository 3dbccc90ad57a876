#ifndef SANDBOX_CAMPAIGNS_HPP
#define SANDBOX_CAMPAIGNS_HPP

#include "campaign.hpp"
#include "json_text.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace sandbox {

/// What is new of one run, which is one user's way through one campaign.
struct run_change {
  std::uint64_t run;
  bool waits;  ///< else it has ended
  json shown;  ///< as `/sandbox/campaigns` shows it
};

/// Who waits in which campaign, and what comes of it. Time passes when somebody says so: before anything that happens
/// at a moment, `pass` is called with that moment, so that each message is made of what was known at its deadline.
class campaign_runs {
 public:
  using changes = std::vector<run_change>;
  /// The user of this id as `/sandbox/users` shows him; of one who is not known, the same with nothing in it.
  using find_user = std::function<json(const std::string& id)>;

  /// The campaigns outlive this.
  explicit campaign_runs(const std::vector<campaign>& all);

  bool is_due(std::int64_t now) const { return !due_.empty() && due_.begin()->first <= now; }
  /// Ends what is due.
  changes pass(std::int64_t now, const find_user& shown_user);
  /// A user has done something: the goal of a campaign that he waits in, or the trigger of one that he does not.
  changes note(const json& user_id, const std::string& event, std::int64_t now, const find_user& shown_user);
  /// Who was known as `previous` is `user_id` now.
  changes join(const std::string& previous, const json& user_id, std::int64_t now);

  /// Puts back a run that was shown waiting. Of a campaign that there is no more, nothing is put back.
  void restore(std::uint64_t number, const json& shown);
  /// Counts on from `totals` of an earlier life.
  void resume(const json& totals);
  /// Gives out no number up to this one any more.
  void skip_to(std::uint64_t number) { newest_ = (std::max)(newest_, number); }

  /// The runs of a campaign that wait, the next deadline first.
  json waiting(const campaign& in) const;
  /// By the id of the campaign: how many wait, reached the goal, were sent a message or could not be.
  json totals() const;

 private:
  struct run {
    std::uint64_t number;
    const campaign* of;
    std::string user;  // the text of the id
    json user_id;
    std::int64_t since;
    std::int64_t until;
  };

  void add(run one);
  run take(std::uint64_t number);
  std::set<std::uint64_t> runs_of(const std::string& user) const;
  const run* find(const std::string& user, const campaign& in) const;

  run_change began(run one);
  run_change ended(const run& one, const char* state, std::int64_t at, const json& more);
  run_change due(const run& one, json user);
  static json shown(const run& one, const char* state);

  const std::vector<campaign>* all_;
  std::map<std::uint64_t, run> runs_;  // that wait, by number
  std::set<std::pair<std::int64_t, std::uint64_t>> due_;
  std::unordered_map<std::string, std::set<std::uint64_t>> of_user_;
  std::map<std::string, std::map<std::string, std::uint64_t>> ended_;  // campaign, state
  std::uint64_t newest_ = 0;
};

}  // namespace sandbox

#endif
