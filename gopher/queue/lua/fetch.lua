-- Give a worker up to `want` jobs: first those of its own list that it does not have (delivered by BRPOPLPUSH, or fetched
-- in a reply that was lost), then `next`, then pending in the worker's order. Jobs of a type that is over its limit are
-- throttled on the way; others pass them.
--
-- next, pending -> processing (expired when it is too late; throttled when its type is limited)
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 want  3 number of the first token  4 order: whose turns come next, the letters of the priorities for
--       one cycle of the worker  5 '1' when the order is strict  6 retention ms of expired jobs
--       7 '1' to get what came before each attempt, else ''  8 '1' when it comes behind a BRPOPLPUSH, else '':
--       such fetches count their tokens for themselves  9 numbers, joined by commas, of those whose replies never came
--       10 letter of the only priority of which jobs are wanted, if one is: then `more` says whether `next` holds a job
-- Returns  LOST when the worker's lease was taken away, else
--       OK, now, 1 when more is waiting else 0; the number of the next token; a row for each job, packed (MessagePack);
--       how long their texts are, packed; and the texts: of each job the envelope, then its parents' results. A row is
--       {id, token, type, priority}, and with any that has more to say of it
--       {..., attempt, crashes, times lost, what came before, ids of parents}: before came, where that was asked for,
--       {token of the attempt before or '', ms that it has waited}, else nothing ('')

local worker, want = ARGV[1], tonumber(ARGV[2])
local first_number, with_prelude, behind_pop = tonumber(ARGV[3]), ARGV[7] == '1', ARGV[8] == '1'
local own = P .. KEY.processing .. worker
local number, token_head = first_number, worker .. (behind_pop and '.b' or '.')
local started = string.format('%.0f', now)
local rows, sizes, texts = {}, {}, {} -- of the reply

-- What is read of every job; of a corrupt record, the error.
local STATE_AT, TYPE, PRIORITY, SINCE, ENVELOPE, ATTEMPTS, PLAIN = 1, 2, 3, 4, 5, 6, 7

local function read_common(record)
  return redis.pcall('HMGET', record, 'state', 'type', 'priority', 'since', 'envelope', 'attempts', 'plain')
end

local function add_text(text)
  local at = #texts + 1
  sizes[at], texts[at] = #text, text
end

-- The rows are packed: that costs both sides a third of a reply with an element for each field. Texts that came with jobs
-- may hold anything, so they are apart, one behind the other.
local function reply(has_more)
  count_alike()
  write_counts()
  write_observations()
  return { 'OK', now, has_more and 1 or 0, number, cmsgpack.pack(rows), cmsgpack.pack(sizes), table.concat(texts) }
end

local note_told -- see `note_told_completion`; nil when nothing is subscribed

-- Start the first attempt of a plain pending job, as nearly all are; its type must not be limited. Returns its priority; for
-- any other job, to which nothing was done, false and what was read of it.
local function start_plain(id)
  local record = P .. KEY.job .. id
  local job = read_common(record)
  local job_type, priority = job[TYPE], job[PRIORITY]
  if job[STATE_AT] ~= STATE.pending or not job[PLAIN] or job[ATTEMPTS] then
    return false, job
  end
  if (job_type ~= alike_type or priority ~= alike_priority) and not (is_name(job_type) and is_name(priority)) then
    return false, job
  end
  local token = token_head .. number
  number = number + 1
  redis.call('HSET', record, 'state', STATE.processing, 'token', token, 'started', started, 'attempts', '1')
  if note_told then note_told(record, job_type) end
  local waited = count_started(job_type, priority, job[SINCE])
  rows[#rows + 1] = with_prelude and { id, token, job_type, priority, 1, {}, 0, { '', waited }, {} }
    or { id, token, job_type, priority }
  add_text(job[ENVELOPE] or '')
  return priority
end

-- Most fetches of an idle worker come behind a BRPOPLPUSH, with no job queued or in its list but the delivered one, if any.
-- If that is a plain one, nothing below is needed.
local delivered = want > 0 and redis.call('LRANGE', own, 0, 1) or {}
if (#delivered == 1 or behind_pop and #delivered == 0)
    and redis.call('EXISTS', P .. KEY.limited, P .. KEY.throttled, P .. KEY.subscribed, P .. KEY.next, EVERY.pending) == 0
    and redis.call('ZSCORE', P .. KEY.workers, worker) then
  if #delivered == 1 then allow_when_full() end
  if #delivered == 0 or start_plain(delivered[1]) then
    return reply(false)
  end
end

allow_when_full()
if not redis.call('ZSCORE', P .. KEY.workers, worker) then
  -- An emptied server does not know that it was fenced: jobs delivered to its blocking pop would be stuck in its list.
  redis.call('ZADD', P .. KEY.fenced, 'NX', now, worker)
  return { 'LOST' }
end

-- Whether the queue is paused, or a type is limited, and whether tenants wait: one command asks about everything rare. A key
-- that is named five times counts five times.
local T = P .. KEY.tenant_ids
local rare = redis.call('EXISTS', P .. KEY.paused, P .. KEY.limited, P .. KEY.throttled, P .. KEY.subscribed, T, T, T, T, T)
local is_held_back = rare % 5 > 0
has_tenants = rare >= 5
if is_held_back and redis.call('EXISTS', P .. KEY.subscribed) == 1 then
  note_told, is_held_back = note_told_completion, rare % 5 > 1
end
local throttles_left = 100

-- Read a job, or the rest of one that was read in part. If its record is corrupt it has no state, and the second value is
-- true.
local function read_job(id, job)
  job = job or read_common(P .. KEY.job .. id)
  if job.err or (job[STATE_AT] == STATE.pending and not (is_name(job[TYPE]) and is_name(job[PRIORITY]))) then
    note_corrupt(id)
    return {}, true
  end
  if not job[PLAIN] then
    local fields = read_record(id, 'expires', 'parents', 'parked', 'owner', 'give_up', 'tenant')
    job.expires, job.parents, job.parked, job.owner, job.give_up = fields[1], fields[2], fields[3], fields[4], fields[5]
    job.tenant = fields[6]
  end
  -- A job that starts for the first time, as nearly all do, has none of these.
  if job[ATTEMPTS] then
    local fields = read_record(id, 'crashes', 'lost', 'token')
    job.crashes, job.lost, job.token = fields[1], fields[2], fields[3]
  end
  return job, false
end

-- Whose turn it is: `order` holds the letters of one cycle, and `turn` is the worker's place in it.
local only = ARGV[10]
local order, is_strict, turn = only or ARGV[4], only or ARGV[5] == '1', 1

-- Use up the next place of a priority in the cycle, because a job of it has started, wherever it came from; false for none.
local function take_turn(priority)
  local letter = LETTERS[priority]
  local at = letter and not is_strict and (string.find(order, letter, turn, true) or string.find(order, letter, 1, true))
  if at then
    turn = at % #order + 1
  end
end

local function order_from_here()
  return string.sub(order, turn) .. string.sub(order, 1, turn - 1)
end

-- Add a job to the reply.
local function give(id, job, token, attempt, waited)
  local row = { id, token, job[TYPE], job[PRIORITY] }
  rows[#rows + 1] = row
  add_text(job[ENVELOPE] or '')
  if job[ATTEMPTS] or job.parents or job.give_up or with_prelude then
    -- '' for nothing: nil would leave a hole, and what has one is no array when it is packed.
    local before = with_prelude and { attempt > 1 and job.token ~= token and job.token or '', waited } or ''
    local parents = split(job.parents)
    row[5], row[6], row[7], row[8], row[9] = attempt, split(job.crashes), whole_number(job.lost), before, parents
    row[10] = job.give_up and whole_number(job.give_up) or nil
    for _, parent in ipairs(parents) do
      add_text(read_record(parent, 'result')[1] or redis.call('GET', P .. KEY.parent_result .. parent) or '')
    end
  end
end

local function expire(id, job)
  redis.call('LREM', own, 1, id)
  count(COUNTER.expired .. job[TYPE], 1)
  if job.owner then redis.call('HINCRBY', P .. KEY.waiting, job.owner, -1) end
  local fields = read_record(id, 'retention', 'unique', 'children', 'tells')
  job.retention, job.unique, job.children, job.tells = fields[1], fields[2], fields[3], fields[4]
  finish(id, STATE.expired, job, ARGV[6])
  -- Its end may have released jobs of a priority of which nothing was left.
  drained = {}
end

-- Throttle a job that may not start yet. Returns whether it was throttled.
local function throttle(id, job)
  local was_throttled = job.parked and true or false
  local bucket, at = where_to_wait(id, job[TYPE], job[PRIORITY], was_throttled)
  if not at then
    return false
  end
  throttle_job(id, bucket, job[PRIORITY], was_throttled, at)
  redis.call('LREM', own, 1, id)
  throttles_left = throttles_left - 1
  return true
end

-- Return the bucket of a job's tenant if its use is limited, and when to check that again if it lets no job start.
local function limit_of_tenant(id, job)
  local tenant = limited_of[id] or job.tenant
  if not is_limited_tenant(tenant) then
    return nil
  end
  local room, at = tenant_room(tenant)
  if room < 1 then
    redis.call('LREM', own, 1, id)
    hold_back_job(id, job[PRIORITY], tenant, at)
  end
  return '@' .. tenant, room < 1
end

-- Start an attempt of any job of the own list. Returns its priority, or false when it must not run now.
local function start(id, job) -- rare
  if job[STATE_AT] ~= STATE.pending then
    redis.call('LREM', own, 1, id)
    return false
  end
  if job.expires and tonumber(job.expires) <= now then
    expire(id, job)
    return false
  end
  local bucket, is_refused = limit_of_tenant(id, job)
  if is_refused or is_held_back and is_limited(job[TYPE]) and throttle(id, job) then
    return false
  end
  if bucket then
    refuse(id, bucket, bucket, job[PRIORITY], true, 'tenant_slot')
  end
  local attempt, token = job[ATTEMPTS] and whole_number(job[ATTEMPTS]) + 1 or 1, token_head .. number
  number = number + 1
  redis.call('HSET', P .. KEY.job .. id, 'state', STATE.processing, 'token', token, 'started', started, 'attempts', attempt)
  if job.parked then redis.call('HDEL', P .. KEY.job .. id, 'parked') end
  if note_told then note_told(P .. KEY.job .. id, job[TYPE]) end
  if job.owner then redis.call('HINCRBY', P .. KEY.waiting, job.owner, -1) end
  give(id, job, token, attempt, count_started(job[TYPE], job[PRIORITY], job[SINCE]))
  return job[PRIORITY]
end

-- Start a job that start_plain has not started, with what that has read of it, if anything. `letter` is that of the pending
-- list it came from, if it came from one. Returns what `start` does.
local function start_other(id, read_already, letter)
  local job, corrupt = read_job(id, read_already)
  if letter and job[STATE_AT] ~= STATE.pending then
    note_skipped(PRIORITY_OF[letter], corrupt)
  end
  return start(id, job)
end

-- Return whether the reply that brought a running job may be lost; nil if it was that of an answered fetch.
--
-- Tokens count up, so what this fetch started when it was sent before has its number or a higher one. A fetch behind a
-- BRPOPLPUSH may run long after it was sent, while others are answered: so such fetches have numbers of their own ('b7'),
-- and those whose replies never came are named.
local function may_be_lost(job)
  local pop, given = string.match(job.token, '%.(b?)(%d+)$')
  if pop == 'b' then
    return string.find(',' .. ARGV[9] .. ',', ',' .. given .. ',', 1, true) ~= nil
  elseif behind_pop or tonumber(given) < first_number then
    return nil
  end
  number = math.max(number, tonumber(given) + 1)
  return true
end

-- Deliver what the own list has got since the last reply that arrived: it is left of what that one brought. The oldest come
-- first, and what was started before what was not, since its tokens are taken.
local function give_own_list()
  local at, lost, not_started = 0, {}, {}
  while true do
    local id = redis.call('LINDEX', own, at)
    local job = id and read_job(id)
    local is_started = id and job[STATE_AT] == STATE.processing
    local is_lost = is_started and may_be_lost(job)
    if not id or is_lost == nil then
      break
    elseif is_lost or not is_started then
      table.insert(is_started and lost or not_started, { id, job })
    end
    at = at + 1
  end
  for i = #lost, 1, -1 do
    local id, job = unpack(lost[i])
    take_turn(job[PRIORITY])
    give(id, job, job.token, whole_number(job[ATTEMPTS]), waited_since(job[SINCE]))
  end
  -- The others stay where the next fetch finds them.
  for i = #not_started, 1, -1 do
    if #rows < want then
      take_turn(start(unpack(not_started[i])))
    end
  end
end

local function give_next()
  local id = redis.call('LMOVE', P .. KEY.next, own, 'RIGHT', 'LEFT')
  if id then
    local priority, job
    if not is_held_back then
      priority, job = start_plain(id)
    end
    take_turn(priority or start_other(id, job))
  elseif redis.call('EXISTS', EVERY.pending) == 0 then
    for letter in pairs(PRIORITY_OF) do
      drained[letter] = true
    end
  end
end

local FEW = 8 -- turns that are served without asking first of which priorities there is nothing

-- Return the next turns, `wanted` or one cycle of them, without those of priorities of which nothing is left: their letters,
-- and for each the turn after it.
local function turns_left(wanted)
  local live, letters, following = '', {}, {}
  for letter, priority in pairs(PRIORITY_OF) do
    if wanted > FEW and redis.call('EXISTS', P .. KEY.pending .. priority, P .. KEY.ring .. priority) == 0 then
      drained[letter] = true
    end
    live = drained[letter] and live or live .. letter
  end
  for letter, after in string.gmatch(order_from_here(), live ~= '' and '([' .. live .. '])()' or '^$') do
    letters[#letters + 1] = letter
    following[#letters] = (turn + after - 2) % #order + 1
    if #letters == wanted then
      break
    end
  end
  if is_strict then
    return { letters[1] }, { 1 }
  end
  return letters, following
end

-- Move the jobs for `wanted` turns to the own list: two writes for each priority, however many jobs. Returns the ids of
-- each, by letter; of none that has nothing.
local function draw(letters, wanted)
  local turns, drawn = {}, {}
  for i, letter in ipairs(letters) do
    turns[letter] = (turns[letter] or 0) + math.floor((wanted - i) / #letters) + 1
  end
  for letter, many in pairs(turns) do
    local ids = many > 0 and draw_to(own, PRIORITY_OF[letter], many)
    if ids then
      ids.used, ids.letter = 0, letter
      drawn[letter] = ids
    elseif many > 0 then
      drained[letter] = true
    end
  end
  return drawn
end

-- Move one more job of a priority, because one of those that were drawn must not run. Returns its id, false for none.
local function draw_another(letter)
  if throttles_left <= 0 or skips_left <= 0 then
    return false
  end
  local id = draw_one_to(own, PRIORITY_OF[letter])
  drained[letter] = not id
  return id
end

-- Start the next job of a priority. Returns whether there was one.
local function start_next_of(ids)
  repeat
    local at = ids.used + 1
    ids.used = at
    local id = ids[at] or draw_another(ids.letter)
    if not id then
      return false
    end
    local started_plain, job
    if not (is_held_back or limited_of[id]) then
      started_plain, job = start_plain(id)
    end
  until started_plain or start_other(id, job, ids.letter)
  return true
end

-- Give jobs for the next turns, as many as are still wanted. Returns false when nothing is left.
local function give_turns()
  local wanted = want - #rows
  local letters, following = turns_left(wanted)
  if #letters == 0 then
    return false
  end
  local drawn, at = draw(letters, wanted), 0
  for _ = 1, wanted do
    at = at < #letters and at + 1 or 1
    local ids = drawn[letters[at]]
    if ids and start_next_of(ids) then
      turn = following[at]
    end
  end
  return true
end

local has_more
if is_held_back then
  -- Jobs may still be throttled when the last limit has been removed.
  release_throttled()
end
give_own_list()
if #rows < want and not (is_held_back and redis.call('EXISTS', P .. KEY.paused) == 1) then
  if not only or next_is_of(only) then give_next() end
  while #rows < want and throttles_left > 0 and skips_left > 0 and rests_left > 0 and give_turns() do end
  has_more = only and ensure_next() or not only and fill_next(order_from_here())
else
  has_more = ensure_next(not only and order_from_here() or nil)
end
return_throttled_again()
if earliest_check then
  wake_scheduler_if_first(KEY.throttled, earliest_check)
end
return reply(has_more)
