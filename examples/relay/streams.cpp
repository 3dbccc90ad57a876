#include "streams.hpp"

#include <memory>
#include <vector>

namespace relay {
namespace {

constexpr std::chrono::seconds patience{15};  // for an election

std::int64_t nanoseconds(std::chrono::nanoseconds d) { return d.count(); }

void add(const connection& to, jsStreamConfig& config) {
  const answer said = patiently(patience, [&] {
    answer a;
    a.status = js_AddStream(nullptr, to.js(), &config, nullptr, &a.code);
    return a;
  });
  if (said.code == JSStreamNameExistErr)
    throw failed{std::string{"there is a stream "} + config.Name +
                 " already, with other settings: `nats stream edit` changes it"};
  if (!said.good()) throw failed{std::string{"the stream "} + config.Name + " cannot be made: " + said.text()};
}

// Readable, and on one line.
std::string line_of(std::string s) {
  for (char& c : s)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  return s;
}

owned<natsMsg> message_at(const connection& to, const std::string& stream, std::uint64_t sequence, answer& said) {
  natsMsg* found = nullptr;
  said = patiently(patience, [&] {
    answer a;
    a.status = js_GetMsg(&found, to.js(), stream.c_str(), sequence, nullptr, &a.code);
    return a;
  });
  return owned<natsMsg>{found};
}

// Calls `visit(message, sequence)` for each message of the stream of dead letters.
template <class Visit>
std::size_t each_dead(const connection& to, const std::string& stream, const Visit& visit) {
  const std::string name = dead_stream(stream);
  answer said;
  owned<jsStreamInfo> info;
  said = patiently(patience, [&] { return info = to.stream(name, said), said; });
  if (!said.good()) throw failed{"the stream " + name + " does not answer: " + said.text()};
  std::size_t count = 0;
  for (std::uint64_t n = info->State.FirstSeq; info->State.Msgs != 0 && n <= info->State.LastSeq; ++n) {
    const owned<natsMsg> message = message_at(to, name, n, said);
    if (said.code == JSNoMessageFoundErr || said.status == NATS_NOT_FOUND) continue;  // replayed before
    if (!said.good()) throw failed{"the stream " + name + " cannot be read: " + said.text()};
    visit(message.get(), n);
    ++count;
  }
  return count;
}

answer publish(const connection& to, natsMsg* message, const std::string& id) {
  jsPubOptions how;
  jsPubOptions_Init(&how);
  how.MsgId = id.c_str();
  how.MaxWait = 5000;
  answer said;
  said.status = js_PublishMsg(nullptr, to.js(), message, &how, &said.code);
  return said;
}

// With the same body, and those headers.
owned<natsMsg> copy_of(natsMsg* message, const std::string& subject,
                       const std::vector<std::pair<const char*, std::string>>& headers) {
  natsMsg* made = nullptr;
  natsMsg_Create(&made, subject.c_str(), nullptr, natsMsg_GetData(message), natsMsg_GetDataLength(message));
  for (const auto& [name, value] : headers)
    if (made != nullptr) natsMsgHeader_Set(made, name, value.c_str());
  return owned<natsMsg>{made};
}

}  // namespace

void create(const connection& to, const std::string& stream, const stream_settings& s) {
  std::vector<std::string> names;
  for (std::size_t n = 0; n < s.partitions; ++n) names.push_back(subject_of(stream, n));
  std::vector<const char*> subjects;
  for (const std::string& one : names) subjects.push_back(one.c_str());
  jsStreamConfig live;
  jsStreamConfig_Init(&live);
  live.Name = stream.c_str();
  live.Subjects = subjects.data();
  live.SubjectsLen = static_cast<int>(subjects.size());
  live.Retention = js_WorkQueuePolicy;
  live.Storage = js_FileStorage;
  live.Discard = js_DiscardNew;
  live.Replicas = s.replicas;
  live.Duplicates = nanoseconds(s.duplicates);
  live.MaxBytes = s.max_bytes;
  add(to, live);

  const std::string name = dead_stream(stream);
  const std::string subject = stream + ".dead.*";
  const char* const dead_subjects[] = {subject.c_str()};
  jsStreamConfig dead;
  jsStreamConfig_Init(&dead);
  dead.Name = name.c_str();
  dead.Subjects = const_cast<const char**>(dead_subjects);
  dead.SubjectsLen = 1;
  dead.Retention = js_LimitsPolicy;
  dead.Storage = js_FileStorage;
  dead.Discard = js_DiscardNew;
  dead.Replicas = s.replicas;
  dead.Duplicates = nanoseconds(s.duplicates);
  add(to, dead);
}

std::size_t partitions_of(const connection& to, const std::string& stream, std::chrono::milliseconds longest) {
  answer said;
  owned<jsStreamInfo> info;
  said = patiently(longest, [&] { return info = to.stream(stream, said), said; });
  if (said.code == JSStreamNotFoundErr) throw failed{"there is no stream " + stream + ": --create makes it"};
  if (!said.good()) throw failed{"the stream " + stream + " does not answer: " + said.text()};
  if (info->Config->Retention != js_WorkQueuePolicy)
    throw failed{"the stream " + stream +
                 " has no work-queue retention, which this relies on: --create makes one that has"};
  const std::size_t count = static_cast<std::size_t>(info->Config->SubjectsLen);
  for (std::size_t n = 0; n < count; ++n)
    if (subject_of(stream, n) != info->Config->Subjects[n])
      throw failed{"the stream " + stream + " has other subjects than " + subject_of(stream, 0) +
                   " and so on: --create makes them"};
  return count;
}

answer bury(const connection& to, const std::string& stream, std::size_t partition, natsMsg* message,
            std::uint64_t sequence, const outcome& why) {
  const std::string guid = header_of(message, guid_header);
  const std::string error = why.cause.message.empty() ? "too old" : line_of(why.cause.message);
  const owned<natsMsg> letter = copy_of(message, dead_subject(stream, partition),
                                        {{path_header, header_of(message, path_header)},
                                         {guid_header, guid},
                                         {user_key_header, header_of(message, user_key_header)},
                                         {error_header, error},
                                         {status_header, std::to_string(why.cause.status)},
                                         {attempts_header, std::to_string(why.attempts)}});
  if (!letter) return {NATS_NO_MEMORY, {}};
  // Its place in the stream, not the GUID alone: what was replayed and is refused again is another letter.
  return publish(to, letter.get(), guid + '-' + std::to_string(sequence));
}

std::size_t each_letter(const connection& to, const std::string& stream,
                        const std::function<void(const letter&)>& visit) {
  return each_dead(to, stream, [&](natsMsg* message, std::uint64_t sequence) {
    letter l{sequence,
             header_of(message, guid_header),
             header_of(message, path_header),
             percent_decoded(header_of(message, user_key_header)),
             header_of(message, error_header),
             {}};
    l.body.assign(natsMsg_GetData(message), static_cast<std::size_t>(natsMsg_GetDataLength(message)));
    visit(l);
  });
}

std::size_t replay(const connection& to, const std::string& stream) {
  const std::size_t partitions = partitions_of(to, stream, patience);
  return each_dead(to, stream, [&](natsMsg* message, std::uint64_t sequence) {
    const std::string key = percent_decoded(header_of(message, user_key_header));
    const std::string guid = header_of(message, guid_header);
    const owned<natsMsg> again = copy_of(message, subject_of(stream, partition_of(key, partitions)),
                                         {{path_header, header_of(message, path_header)},
                                          {guid_header, guid},
                                          {user_key_header, header_of(message, user_key_header)}});
    // Another id than the first time, within whose duplicate window this may be.
    const std::string id = guid + "-again-" + std::to_string(sequence);
    answer said = patiently(patience, [&] {
      return again ? publish(to, again.get(), id) : answer{NATS_NO_MEMORY, {}};
    });
    if (!said.good()) throw failed{"a dead letter cannot be published: " + said.text()};
    said = patiently(patience, [&] {
      answer a;
      a.status = js_DeleteMsg(to.js(), dead_stream(stream).c_str(), sequence, nullptr, &a.code);
      return a;
    });
    if (!said.good()) throw failed{"a dead letter was published, and cannot be taken away: " + said.text()};
  });
}

}  // namespace relay
