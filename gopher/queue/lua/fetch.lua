-- Give a worker up to `want` jobs: first the strays of its own list (just delivered by BRPOPLPUSH, or
-- given out in a reply that was lost), then `next`, then pending by the worker's order. Jobs of a type
-- that is over its limit are parked on the way; others pass them.
--
-- next, pending -> processing (expired when it is too late; throttled when its type is limited)
--
-- KEYS  1 prefix
-- ARGV  1 worker  2 want  3 number of the first token  4 order: the letters of the priorities from the
--       worker's place in its cycle on  5 '1' when the order is strict  6 retention ms of expired jobs
--       7 '1' to be told what came before each attempt, else ''  8 '1' when it stands behind a BRPOPLPUSH, else '':
--       such fetches count their tokens for themselves  9 numbers, joined by commas, of those whose replies never came
-- Returns  LOST when the worker's lease was taken away, else
--       OK, now, 1 when more is waiting else 0; the number of the next token; a row for each job, packed (MessagePack);
--       how long their texts are, packed; and the texts: of each job the envelope, then its parents' results. A row is
--       {id, token, type, priority}, and with any that has more to say of it
--       {..., attempt, crashes, times lost, what came before, ids of parents}: before came, where that was asked for,
--       {token of the attempt before or '', ms that it has waited}, else nothing ('')
-- uses: base clock observe begin alarm arm dead ended finish rare limits
local worker, want = ARGV[1], tonumber(ARGV[2])
local order, strict = ARGV[4], ARGV[5] == '1'
local own = P .. 'processing:' .. worker
local first, place = number, 1
local parks_left = 100
local FEW = 8 -- jobs whose turns are counted without a look at what there is
-- One look for all that is rare.
local special = redis.call('EXISTS', P .. 'paused', P .. 'limited', P .. 'throttled') > 0

open_when_full()
if not redis.call('ZSCORE', P .. 'workers', worker) then
  -- On a server that was emptied it was never fenced: what its blocking pop is given would be held for good.
  redis.call('ZADD', P .. 'fenced', 'NX', now, worker)
  return { 'LOST' }
end

-- Read a job, or the rest of one that was looked at already. Where its record is corrupt it has no state, and the second
-- value is true.
local function read_job(id, job)
  job = job or look_at(P .. 'job:' .. id)
  if job.err or (job[STATE] == 'pending' and not (is_name(job[TYPE]) and is_name(job[PRIORITIZED]))) then
    set_aside(id)
    return {}, true
  end
  if not job[PLAIN] then
    local fields = read(id, 'expires', 'parents', 'parked')
    job.expires, job.parents, job.parked = fields[1], fields[2], fields[3]
  end
  -- One that begins for the first time, as nearly all do, has none of these.
  if job[ATTEMPTS] then
    local fields = read(id, 'crashes', 'lost', 'token')
    job.crashes, job.lost, job.token = fields[1], fields[2], fields[3]
  end
  return job, false
end

local turns = {} -- place in the cycle -> whose turn it is there; forgotten when a letter is left out, or comes back
local LETTER = { high = 'h', normal = 'n', low = 'l' }
local after = { h = {}, n = {}, l = {} } -- letter -> place in the cycle -> the place behind its next turn

local function after_turn(letter, from)
  local found = after[letter][from]
  if not found then
    local at = string.find(order, letter, from, true) or string.find(order, letter, 1, true)
    found = at and at % #order + 1 or from
    after[letter][from] = found
  end
  return found
end

-- Step the cycle past the next turn of this priority, wherever the job came from.
local function take_turn(priority)
  if not strict and LETTER[priority] then
    place = after_turn(LETTER[priority], place)
  end
end

local function from_here()
  return strict and order or string.sub(order, place) .. string.sub(order, 1, place - 1)
end

-- Ids, and how children died: in both there is ASCII only.
local function split(text)
  local found = {}
  for word in string.gmatch(text or '', '[^,\128-\255]+') do
    found[#found + 1] = word
  end
  return found
end

-- A number of a record, whatever it was changed to: one that is not whole, or too large to be packed as such, would
-- spoil the whole reply.
local function whole(text)
  local value = tonumber(text)
  return value and math.abs(value) < 2 ^ 53 and math.floor(value) or 0
end

local function give(id, job, token, attempt, waited)
  take_turn(job[PRIORITIZED])
  local row = { id, token, job[TYPE], job[PRIORITIZED] }
  rows[#rows + 1] = row
  add_text(job[ENVELOPE] or '')
  if job[ATTEMPTS] or job.parents or with_prelude then
    -- '' for nothing: nil would leave a hole, and what has one is no array when it is packed.
    local before = with_prelude and { attempt > 1 and job.token ~= token and job.token or '', waited } or ''
    local parents = split(job.parents)
    row[5], row[6], row[7], row[8], row[9] = attempt, split(job.crashes), whole(job.lost), before, parents
    for _, parent in ipairs(parents) do
      add_text(read(parent, 'result')[1] or '')
    end
  end
end

local function expire(id, job)
  redis.call('LREM', own, 1, id)
  count('expired:' .. job[TYPE], 1)
  local fields = read(id, 'retention', 'unique', 'children')
  job.retention, job.unique, job.children = fields[1], fields[2], fields[3]
  finish(id, 'expired', job, ARGV[6])
  -- Its end may have let jobs go to a priority of which nothing was left.
  drained, turns = {}, {}
end

-- Park a job that may not start yet. Returns whether it was.
local function throttle(id, job)
  local bucket, was_parked = read(id, 'bucket')[1] or job[TYPE], job.parked and true or false
  local look_at = refuse(id, job[TYPE], bucket, job[PRIORITIZED], was_parked)
  if not look_at then
    return false
  end
  park(id, bucket, job[PRIORITIZED], was_parked, look_at)
  redis.call('LREM', own, 1, id)
  parks_left = parks_left - 1
  return true
end

-- Begin an attempt of a job that stands in the own list. Returns false when it must not run now.
local function begin(id, job)
  if job[STATE] ~= 'pending' then
    redis.call('LREM', own, 1, id)
    return false
  end
  if job.expires and tonumber(job.expires) <= now then
    expire(id, job)
    return false
  end
  if special and is_limited(job[TYPE]) and throttle(id, job) then
    return false
  end
  local attempt, token = job[ATTEMPTS] and whole(job[ATTEMPTS]) + 1 or 1, series .. number
  number = number + 1
  redis.call('HSET', P .. 'job:' .. id, 'state', 'processing', 'token', token, 'started', started, 'attempts', attempt)
  local waited = count_begun(job[TYPE], job[PRIORITIZED], job[SINCE])
  if job.parked then
    redis.call('HDEL', P .. 'job:' .. id, 'parked')
  end
  give(id, job, token, attempt, waited)
  return true
end

local function give_again(id, job)
  give(id, job, job.token, whole(job[ATTEMPTS]), waited_since(job[SINCE]))
end

-- Give out again a job of the own list whose reply may not have arrived. Returns false for one of an answered fetch.
--
-- Tokens count up, so what this fetch has begun when it was sent before has its number or a higher one. A fetch behind a
-- BRPOPLPUSH may be done long after it was sent, while others are answered: so such ones have numbers of their own
-- ('b7'), and those whose replies never came are named.
local function adopt_begun(id, job)
  local bell, given = string.match(job.token, '%.(b?)(%d+)$')
  if bell == 'b' then
    if string.find(',' .. ARGV[9] .. ',', ',' .. given .. ',', 1, true) then
      give_again(id, job)
    end
    return true
  end
  if ARGV[8] == '1' or tonumber(given) < first then
    return false
  end
  number = math.max(number, tonumber(given) + 1)
  give_again(id, job)
  return true
end

-- What was put into the own list since the last reply that arrived stands left of what that one brought. What was
-- begun comes before what was not: those tokens are taken already.
local function adopt_strays()
  local at, not_begun = 0, {}
  while true do
    local id = redis.call('LINDEX', own, at)
    local job = id and read_job(id)
    if not id or job[STATE] == 'processing' and not adopt_begun(id, job) then
      break
    end
    if job[STATE] ~= 'processing' then
      not_begun[#not_begun + 1] = { id, job }
    end
    at = at + 1
  end
  -- The oldest first: the others stay where the next fetch finds them.
  for i = #not_begun, 1, -1 do
    if #rows < want then
      begin(unpack(not_begun[i]))
    end
  end
end

local function draw_next()
  local id = redis.call('LMOVE', P .. 'next', own, 'RIGHT', 'LEFT')
  if id then
    local priority, job
    if not special then
      priority, job = begin_plain(id)
    end
    if priority then
      take_turn(priority)
    else
      begin(id, read_job(id, job))
    end
  elseif redis.call('EXISTS', P .. 'pending:high', P .. 'pending:normal', P .. 'pending:low') == 0 then
    drained, turns = { h = true, n = true, l = true }, {}
  end
end

local drawn, begun = {}, {} -- by letter: ids moved from pending to the own list, and how many of them were begun
local left_out = {} -- letters of priorities of which no more is to be moved in this call

local function first_wanted(letters)
  for letter in string.gmatch(letters, '.') do
    if not (drained[letter] or left_out[letter]) then
      return letter
    end
  end
  return false
end

-- Return the priority whose turn it is at a place of the cycle, false when nothing is left of any.
local function turn_at(at)
  if turns[at] == nil then
    local from = strict and 1 or at
    turns[at] = first_wanted(string.sub(order, from) .. string.sub(order, 1, from - 1))
  end
  return turns[at]
end

local function is_alone(letter)
  for other in pairs(PRIORITY) do
    if other ~= letter and not (drained[other] or left_out[other]) then
      return false
    end
  end
  return true
end

-- Return how many of the jobs that are still wanted are to come from a priority.
local function share_of(letter)
  if is_alone(letter) then
    return want - #rows
  end
  local share, at = 0, place
  for _ = #rows + 1, want do
    local turn = turn_at(at)
    share = share + (turn == letter and 1 or 0)
    at = after_turn(turn, at)
  end
  return share
end

-- Note of which priorities there is nothing at all: to ask costs less than to count the turns of each.
local function note_drained()
  for letter, name in pairs(PRIORITY) do
    drained[letter] = redis.call('EXISTS', P .. 'pending:' .. name) == 0
  end
  turns = {}
end

-- Move a priority's share to the own list: two writes, however many jobs.
local function draw_share(letter)
  if parks_left <= 0 or budget <= 0 then
    left_out[letter], turns = true, {}
    return
  end
  local ids = redis.call('RPOP', P .. 'pending:' .. PRIORITY[letter], share_of(letter))
  if not ids then
    drained[letter], turns = true, {}
    return
  end
  redis.call('LPUSH', own, unpack(ids))
  drawn[letter], begun[letter] = ids, 0
end

-- Begin plain jobs of what was drawn of a priority, from a place there on, while it is that priority's turn. Returns the
-- place behind them, and what was read of the job there if it is one that is not plain.
local function begin_plain_ones(ids, at, letter)
  local steps, last = after[letter], math.min(#ids, at + want - #rows - 1)
  while at <= last do
    local priority, job = begin_plain(ids[at])
    if not priority then
      return at, job
    end
    at = at + 1
    if not strict then
      place = steps[place] or after_turn(letter, place)
      if turns[place] ~= letter then
        return at
      end
    end
  end
  return at
end

-- Begin the next jobs by the order. Returns false when there are none.
local function begin_pending()
  local letter = turn_at(place)
  if not letter then
    return false
  end
  local ids = drawn[letter]
  if not ids or begun[letter] == #ids then
    draw_share(letter)
    return true
  end
  local at, read_already = begun[letter] + 1, nil
  if not special then
    at, read_already = begin_plain_ones(ids, at, letter)
    begun[letter] = at - 1
    if not read_already then
      return true
    end
  end
  begun[letter] = at
  local job, corrupt = read_job(ids[at], read_already)
  if job[STATE] ~= 'pending' then
    pass_over(PRIORITY[letter], corrupt)
  end
  begin(ids[at], job)
  return true
end

-- Give back what was drawn and not begun: a job that was too late let others go, and it was their turn then. In the own
-- list it would stand right of what runs, where nobody looks for more.
local function give_back_drawn()
  for letter, ids in pairs(drawn) do
    for at = #ids, begun[letter] + 1, -1 do
      redis.call('LREM', own, 1, ids[at])
      redis.call('RPUSH', P .. 'pending:' .. PRIORITY[letter], ids[at])
      drained[letter] = nil
    end
  end
end

local more
if special then
  -- Jobs may still be parked when the last limit has been taken away.
  unpark_due()
end
adopt_strays()
if #rows < want and not (special and redis.call('EXISTS', P .. 'paused') == 1) then
  draw_next()
  if want - #rows > FEW then
    note_drained()
  end
  while #rows < want and begin_pending() do
  end
  give_back_drawn()
  more = fill_next(from_here())
else
  more = arm(from_here())
end
end_parking()
if earliest_look then
  alarm('throttled', earliest_look)
end
return given(more)
