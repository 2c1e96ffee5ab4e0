// Copies to shared memory that run on, and the mbarriers that bulk copies tell of their end (PTX ISA, "mbarrier",
// "cp.async", "cp.async.bulk"). Their destination is poison until they land.
#include <cstring>

#include "block.h"

namespace simulated {

namespace {

// What lies in memory of one, so that whatever is written over it is seen.
u64 mbarrier_bits(const Mbarrier &m) {
  return 0xA5C3000000000000u ^ (u64)m.address << 32 ^ (u64)m.phase << 20 ^ (u64)m.pending ^ (u64)m.bytes << 8;
}
void mbarrier_write(const Mbarrier &m) {
  const u64 bits = mbarrier_bits(m);
  std::memcpy(shared_at(m.address, MBARRIER_BYTES, MBARRIER_BYTES), &bits, sizeof bits);
}
void mbarrier_expect_whole(const Mbarrier &m) {
  const u64 bits = mbarrier_bits(m);
  if (std::memcmp(shared_at(m.address, MBARRIER_BYTES, MBARRIER_BYTES), &bits, sizeof bits))
    fault("the mbarrier at %u was written over", m.address - SHARED_BASE);
}

// For a thread's arrival or wait, or for a copy that it starts, which comes by another way than plain stores.
Mbarrier &mbarrier_get(u32 address, bool by_copy) {
  shared_at(address, MBARRIER_BYTES, MBARRIER_BYTES);
  for (Mbarrier &m : block.mbarriers) {
    if (m.address != address) continue;
    mbarrier_expect_whole(m);
    const bool published = m.published_after != NEVER;
    if (m.maker == block.current ? by_copy && !published : !published || m.published_after == block.barriers)
      fault("the mbarrier at %u is used before it is there for %s: mbarriers_publish(), and others block_wait()",
            address - SHARED_BASE, by_copy ? "copies" : "this thread");
    return m;
  }
  fault("there is no mbarrier at %u", address - SHARED_BASE);
}

bool mbarrier_is_over(const Mbarrier &m, u32 parity) { return (m.phase & 1) != parity; }

// To be called when something of its phase has come.
void mbarrier_turn(Mbarrier &m) {
  if (!m.pending && m.bytes < 0)
    fault("%lld bytes more have come for the mbarrier at %u than were expected", (long long)-m.bytes,
          m.address - SHARED_BASE);
  if (!m.pending && !m.bytes) {
    m.phase++;
    m.pending = m.arrivals;
  }
  mbarrier_write(m);
  const size_t number = (size_t)(&m - block.mbarriers.data());
  for (Thread &thread : block.threads)
    if (thread.state == State::at_mbarrier && thread.mbarrier == number && mbarrier_is_over(m, thread.parity))
      thread.state = State::ready;
}

void bulk_copy_land(size_t number) {
  const BulkCopy copy = block.bulk_copies[number];
  block.bulk_copies.erase(block.bulk_copies.begin() + (std::ptrdiff_t)number);
  Mbarrier &m = block.mbarriers[(size_t)copy.mbarrier];
  mbarrier_expect_whole(m);
  std::memcpy(shared_at(copy.to, (size_t)copy.bytes, PIECE_BYTES), copy.from, (size_t)copy.bytes);
  pieces_visit(copy.to, copy.bytes, [&](Piece &piece) {
    piece.arrives = false;
    piece.brought = true;
    piece.phase = m.phase;
  });
  m.bytes -= copy.bytes;
  mbarrier_turn(m);
}

}  // namespace

bool bulk_copies_move(bool moved) {
  bool landed = false;
  for (size_t i = block.bulk_copies.size(); i-- > 0;) {
    const bool waited = block.mbarriers[(size_t)block.bulk_copies[i].mbarrier].waiters > 0;
    const bool drawn = block.schedule == Schedule::random && random_next() % 4 == 0;
    if (!drawn && !(waited && (!moved || block.schedule == Schedule::last_first))) continue;
    bulk_copy_land(i);
    landed = true;
  }
  return landed;
}

void copies_expect_end() {
  for (const Thread &thread : block.threads) {
    if (!thread.started.empty()) fault("the kernel ends with copies started and not committed");
    for (const auto &group : thread.groups)
      if (!group.empty()) fault("the kernel ends with copies on their way");
  }
  if (!block.bulk_copies.empty()) fault("the kernel ends with bulk copies on their way");
  for (const Mbarrier &m : block.mbarriers) mbarrier_expect_whole(m);
}

void copy_start(u32 shared, const void *global, int bytes) {
  if (bytes < 0 || bytes > 16) fault("a copy of %d bytes", bytes);
  if (bytes && (uintptr_t)global % 16) fault("a copy from a global address that is not a multiple of 16");
  unsigned char *to = shared_at(shared, 16, 16);
  std::memset(to, POISON, 16);
  Piece &piece = block.pieces[(size_t)(to - block.shared) / PIECE_BYTES];
  if (piece.readers) fault("a copy overwrites what products on their way read");
  if (piece.arrives) fault("two copies are on their way to the same place");
  piece = EMPTY;
  piece.arrives = true;
  running().started.push_back(Copy{to, (const unsigned char *)global, bytes});
}

void copy_commit() {
  Thread &thread = running();
  thread.groups.push_back(std::move(thread.started));
  thread.started.clear();
}

void copy_wait(int groups) {
  Thread &thread = running();
  std::vector<std::vector<Copy>> &all = thread.groups;
  while ((int)all.size() > groups) {
    for (const Copy &copy : all.front()) {
      std::memcpy(copy.to, copy.from, (size_t)copy.bytes);
      std::memset(copy.to + copy.bytes, 0, (size_t)(16 - copy.bytes));
      const size_t piece = (size_t)(copy.to - block.shared) / PIECE_BYTES;
      block.pieces[piece].arrives = false;
      block.pieces[piece].brought = true;
      thread.landed.push_back(piece);
    }
    all.erase(all.begin());
  }
}

// A copy on its way brings its own.
static unsigned char *shared_piece(u32 shared, Piece **piece) {
  unsigned char *at = shared_at(shared, PIECE_BYTES, PIECE_BYTES);
  *piece = &block.pieces[(size_t)(at - block.shared) / PIECE_BYTES];
  if ((*piece)->arrives) fault("a thread loads or stores where a copy is on its way");
  return at;
}

void shared_load(u32 *words, u32 shared) {
  Piece *piece;
  std::memcpy(words, shared_piece(shared, &piece), PIECE_BYTES);
}

void shared_store(u32 shared, const u32 *words) {
  Piece *piece;
  std::memcpy(shared_piece(shared, &piece), words, PIECE_BYTES);
  if (piece->readers) fault("a store overwrites what products on their way read");
  *piece = EMPTY;
  piece->brought = true;
  running().landed.push_back((size_t)(piece - block.pieces.data()));
}

void mbarrier_init(u32 mbarrier, int arrivals) {
  if (arrivals < 1 || arrivals > ARRIVALS_MOST) fault("an mbarrier of %d arrivals", arrivals);
  shared_at(mbarrier, MBARRIER_BYTES, MBARRIER_BYTES);
  for (const Mbarrier &m : block.mbarriers)
    if (m.address == mbarrier) fault("there is an mbarrier at %u already", mbarrier - SHARED_BASE);
  pieces_visit(mbarrier / PIECE_BYTES * PIECE_BYTES, PIECE_BYTES, [&](const Piece &piece) {
    if (piece.arrives || piece.readers) fault("an mbarrier lies where copies or products are on their way");
  });
  block.mbarriers.push_back(Mbarrier{mbarrier, arrivals, arrivals, 0, 0, 0, block.current, NEVER});
  mbarrier_write(block.mbarriers.back());
}

void mbarriers_publish() {
  for (Mbarrier &m : block.mbarriers)
    if (m.maker == block.current) m.published_after = block.barriers;
}

void mbarrier_expect(u32 mbarrier, int bytes) {
  Mbarrier &m = mbarrier_get(mbarrier, false);
  if (bytes < 0 || m.bytes + bytes > EXPECTED_MOST) fault("an mbarrier expects %lld bytes", (long long)m.bytes + bytes);
  if (!m.pending) fault("more arrivals at the mbarrier at %u than its phase has", mbarrier - SHARED_BASE);
  m.bytes += bytes;
  m.pending--;
  mbarrier_turn(m);
}

void mbarrier_wait(u32 mbarrier, int parity) {
  if (parity != 0 && parity != 1) fault("the parity of a phase is %d", parity);
  Thread &thread = running();
  Mbarrier &m = mbarrier_get(mbarrier, false);
  const size_t number = (size_t)(&m - block.mbarriers.data());
  if (!mbarrier_is_over(m, (u32)parity)) {
    thread.mbarrier = number;
    thread.parity = (u32)parity;
    m.waiters++;
    wait_in(State::at_mbarrier);
    block.mbarriers[number].waiters--;
  }
  if (!mbarrier_is_over(block.mbarriers[number], (u32)parity))
    fault("the mbarrier at %u turned twice while a thread waited", mbarrier - SHARED_BASE);
  if (thread.over.size() <= number) thread.over.resize(number + 1, 0);
  thread.over[number] = block.mbarriers[number].phase;
}

void bulk_copy_start(u32 shared, const void *global, int bytes, u32 mbarrier) {
  if (bytes <= 0 || bytes % PIECE_BYTES) fault("a bulk copy of %d bytes, which are no multiple of 16", bytes);
  if ((uintptr_t)global % 16) fault("a bulk copy from a global address that is not a multiple of 16");
  unsigned char *to = shared_at(shared, (size_t)bytes, 16);
  const int number = (int)(&mbarrier_get(mbarrier, true) - block.mbarriers.data());
  std::memset(to, POISON, (size_t)bytes);
  pieces_visit(shared, bytes, [&](Piece &piece) {
    if (piece.readers) fault("a copy overwrites what products on their way read");
    if (piece.arrives) fault("two copies are on their way to the same place");
    piece = EMPTY;
    piece.arrives = true;
    piece.mbarrier = number;
  });
  block.bulk_copies.push_back(BulkCopy{shared, (const unsigned char *)global, bytes, number});
}

void copies_publish() {
  for (size_t piece : running().landed) block.pieces[piece].published_after = block.barriers;
  running().landed.clear();
}

}  // namespace simulated
