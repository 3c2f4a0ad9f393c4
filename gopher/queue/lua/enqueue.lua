-- Store new jobs and put each where it waits. A repeat with the same ids, or under the same idempotency
-- key, stores nothing twice.
--
-- - -> pending (the first one goes on to `next`); scheduled when its time has not come, or when it waits
-- for other jobs
--
-- KEYS  1 prefix
-- ARGV  for a single plain job without such a key: id, type, priority, envelope. Else
--       1 digest of the idempotency key or ''  2 digest of the request  3 what to answer a repeat with  4 for so
--       many ms  5 a packed list (MessagePack) of all jobs' values, then the envelope of each. The values are id, type,
--       priority, and '' for a plain job; for a special one lines of: due
--       ('': now), expires ('': never), retention ms ('': the default), unique name (type, key, owner) or '', ms that it counts,
--       limit key or '', ids that it waits for, joined by commas, or ''; 'run' or 'fail' when one of those does
--       not complete. Times are ms since 1970, or '+5000' for so many from now
-- Returns  {REPLAYED, what ARGV 3 was the first time} or {MISMATCH} for a known idempotency key,
--       {NOPARENT, id} when a job to wait for does not exist, else OK, and of those jobs that are not new
--       the number, from 1 on, and DUPLICATE when its record was there already, or id, state and priority of the job
--       that has its unique key; behind REPLAYED stand those that were not new the first time
-- uses: clock plain base rare alarm arm dead ended over
local STRIDE = 4 -- values of a job in `jobs`
local SPECIAL = '^' .. string.rep('([^\n]*)\n', 7) .. '([^\n]*)$'
local answers, earliest = { 'OK' }, nil

local request = not alone and ARGV[1] ~= '' and P .. 'idempotency:' .. ARGV[1] -- the key, if the call has such a one

local function known_request()
  local known = request and redis.call('GET', request)
  if not known then
    return nil
  end
  local digest, answer = string.match(known, '^(%S+) (.*)$')
  if digest ~= ARGV[2] then
    return { 'MISMATCH' }
  end
  local duplicates = redis.call('GET', P .. 'duplicates:' .. ARGV[1])
  local replay = duplicates and cmsgpack.unpack(duplicates) or {}
  table.insert(replay, 1, answer)
  table.insert(replay, 1, 'REPLAYED')
  return replay
end

-- Keep what a repeat is to be answered with, for ARGV 4 ms.
local function note_request(has_duplicates)
  redis.call('SET', request, ARGV[2] .. ' ' .. ARGV[3], 'PX', ARGV[4])
  if has_duplicates then
    table.remove(answers, 1)
    redis.call('SET', P .. 'duplicates:' .. ARGV[1], cmsgpack.pack(answers), 'PX', ARGV[4])
    table.insert(answers, 1, 'OK')
  end
end

local function instant(text)
  if string.sub(text, 1, 1) == '+' then
    return now + tonumber(text)
  end
  return tonumber(text) or 0
end

local specials = {} -- place of a job's id in `jobs` -> what is special about the job

local function read_special(text)
  local due, expires, retention, unique, unique_for, limit_key, parents, on_failure = string.match(text, SPECIAL)
  return {
    due = instant(due), expires = expires ~= '' and instant(expires) or nil, retention = retention, unique = unique,
    unique_for = unique_for, limit_key = limit_key, parents = parents, on_parent_failure = on_failure,
  }
end

local function read_specials()
  for i = 1, #jobs, STRIDE do
    if jobs[i + 3] ~= '' then
      specials[i] = read_special(jobs[i + 3])
    end
  end
end

-- All checks come before the first write. A parent may stand earlier in the same call.
local function missing_parent()
  if not next(specials) then
    return nil
  end
  local here = {}
  for i = 1, #jobs, STRIDE do
    local parents = specials[i] and specials[i].parents or ''
    -- A repeat may come when the parents' time is up: what was stored is stored.
    local is_new = parents ~= '' and redis.call('EXISTS', P .. 'job:' .. jobs[i]) == 0
    for parent in string.gmatch(is_new and parents or '', '[^,]+') do
      if not here[parent] and redis.call('EXISTS', P .. 'job:' .. parent) == 0 then
        return parent
      end
    end
    here[jobs[i]] = true
  end
end

-- Return the id of the job that is stored under a unique name, or nil. Earlier versions stored it under the key alone: such
-- a job counts for trusted jobs of the same type, not for those of an owner, since its own owner is not known.
local function stored_under(unique, job_type)
  local id = redis.call('GET', P .. 'unique:' .. unique)
  local key = not id and string.match(unique, '^%S+ (%S+)$')
  if key then
    id = redis.call('GET', P .. 'unique:' .. key)
    id = id and redis.call('HGET', P .. 'job:' .. id, 'type') == job_type and id
  end
  return id or nil
end

-- Return the id of a waiting or running job with the unique name and the answer that describes it, or nil.
local function holder_of(unique, job_type)
  local holder = stored_under(unique, job_type)
  if not holder then
    return nil
  end
  local fields = redis.call('HMGET', P .. 'job:' .. holder, 'state', 'priority', 'expires')
  local state, priority, expires = fields[1], fields[2], fields[3]
  local waits = state == 'pending' or state == 'scheduled'
  -- One that is too late to start has ended, though no worker has passed over it yet.
  if not state or (waits and expires and tonumber(expires) <= now) then
    return nil
  end
  return holder, holder .. ' ' .. state .. ' ' .. (priority or '')
end

local stand_ins = {} -- id of a job that is not stored -> that of the one which has its unique key
local families = {} -- id of a job that others wait for -> its state, and their ids

local function family_of(parent)
  local family = families[parent]
  if not family then
    local fields = redis.call('HMGET', P .. 'job:' .. parent, 'state', 'children', 'readers')
    family = { state = fields[1], children = { fields[2] or nil }, known_readers = fields[3] or '', readers = {} }
    families[parent] = family
  end
  return family
end

-- Put the readers that are known already before the new ones, without some that have ended. Two are looked at for each
-- new one, and go to the end if they have not: so there are about twice as many at most as have not ended.
local function with_known_readers(family)
  local ids, new, at, looks = family.known_readers, family.readers, 1, 2 * #family.readers
  while at <= #ids and looks > 0 do
    local comma = string.find(ids, ',', at, true) or #ids + 1
    local id = string.sub(ids, at, comma - 1)
    if not is_over(id) then
      new[#new + 1] = id
    end
    at, looks = comma + 1, looks - 1
  end
  if at <= #ids then
    table.insert(new, 1, string.sub(ids, at))
  end
  return table.concat(new, ',')
end

-- One write a parent, however many wait for it.
local function write_families()
  for parent, family in pairs(families) do
    if #family.children > 0 then
      set_rare(parent, 'children', table.concat(family.children, ','))
    end
    if #family.readers > 0 then
      redis.call('HSET', P .. 'job:' .. parent, 'readers', with_known_readers(family))
    end
  end
end

-- Note a new job with those it waits for. Returns for how many, and one that has failed it already.
local function follow_parents(id, parents)
  local waiting_for, culprit = 0, nil
  for parent in string.gmatch(parents, '[^,]+') do
    local family = family_of(parent)
    if family.state == 'failed' or family.state == 'cancelled' or family.state == 'expired' then
      culprit = culprit or parent
    elseif family.state ~= 'completed' then
      family.children[#family.children + 1] = id
      waiting_for = waiting_for + 1
    else
      -- Its result is still to be read: see `ended`.
      family.readers[#family.readers + 1] = id
    end
  end
  return waiting_for, culprit
end

local queued, placed = { high = {}, normal = {}, low = {} }, 0 -- ids of jobs that may run at once, by priority

local function queue_up(id, priority)
  local ids = queued[priority]
  ids[#ids + 1] = id
  placed = placed + 1
end

-- Put a single job straight into `next` when nothing else waits. Returns whether it was.
local function went_to_next()
  if placed > 1 or redis.call('EXISTS', P .. 'paused', P .. 'pending:high', P .. 'pending:normal', P .. 'pending:low') > 0 then
    return false
  end
  redis.call('LPUSH', P .. 'next', (queued.high[1] or queued.normal[1] or queued.low[1]))
  return true
end

-- One write for each priority and thousand jobs: Lua hands over no more than some thousands of values.
local function write_queued()
  local armed = redis.call('EXISTS', P .. 'next') == 1
  if not armed and went_to_next() then
    return
  end
  for priority, ids in pairs(queued) do
    for at = 1, #ids, 1000 do
      redis.call('LPUSH', P .. 'pending:' .. priority, unpack(ids, at, math.min(at + 999, #ids)))
    end
  end
  if not armed then
    arm()
  end
end

local function envelope_of(i)
  return ARGV[alone and 4 or 6 + (i - 1) / STRIDE]
end

local templates = {} -- type, priority, state -> key of a record without an envelope; '' while one job was like that

-- Write a job's record unless it is there. Those of a kind are copies of one record: a short one is copied in less time
-- than it is written in, field by field. Returns whether it was written.
local function write_record(i, record, state)
  local job_type, priority = jobs[i + 1], jobs[i + 2]
  local kind = state .. ':' .. priority .. ':' .. job_type
  local template = templates[kind]
  if not template then
    if redis.call('EXISTS', record) == 1 then
      return false
    end
    -- The first write: a server that is out of memory refuses the whole call here.
    redis.call('HSET', record, 'type', job_type, 'priority', priority, 'state', state, 'since', now,
      'envelope', envelope_of(i), 'plain', '1')
    templates[kind] = ''
    return true
  end
  if template == '' then
    template = P .. 'new:' .. kind
    -- One that is left of a call which has failed is not of this moment.
    redis.call('DEL', template)
    redis.call('HSET', template, 'type', job_type, 'priority', priority, 'state', state, 'since', now, 'plain', '1')
    templates[kind] = template
  end
  if redis.call('COPY', template, record) == 0 then
    return false
  end
  redis.call('HSET', record, 'envelope', envelope_of(i))
  return true
end

local function delete_templates()
  for _, template in pairs(templates) do
    if template ~= '' then
      redis.call('DEL', template)
    end
  end
end

local function place(i, record, special, parents)
  local id, job_type, due = jobs[i], jobs[i + 1], special.due
  local waiting_for, culprit = follow_parents(id, parents)
  if culprit and special.on_parent_failure ~= 'run' then
    fail_with(culprit, id, record, job_type)
    free_unique(id, special.unique)
  elseif waiting_for > 0 then
    redis.call('HSET', record, 'state', 'scheduled', 'waiting_for', waiting_for, 'due', due)
    redis.call('ZADD', P .. 'scheduled', NEVER, id)
  elseif due > now then
    redis.call('HSET', record, 'due', due)
    redis.call('ZADD', P .. 'scheduled', due, id)
    earliest = math.min(earliest or due, due)
  else
    queue_up(id, jobs[i + 2])
  end
end

local function store_special(i, record, special)
  local id, unique = jobs[i], special.unique
  -- A repeat is one also when another job has the key meanwhile.
  if unique ~= '' and redis.call('EXISTS', record) == 0 then
    local holder, answer = holder_of(unique, jobs[i + 1])
    if holder then
      stand_ins[id] = holder
      return answer
    end
  end
  if not write_record(i, record, special.due > now and 'scheduled' or 'pending') then
    return 'DUPLICATE'
  end
  if special.expires then
    set_rare(id, 'expires', special.expires)
  end
  if special.retention ~= '' then
    set_rare(id, 'retention', special.retention)
  end
  if unique ~= '' then
    set_rare(id, 'unique', unique)
    redis.call('SET', P .. 'unique:' .. unique, id, 'PX', special.unique_for)
  end
  if special.limit_key ~= '' then
    set_rare(id, 'bucket', jobs[i + 1] .. '/' .. special.limit_key)
  end
  local parents = string.gsub(special.parents, '[^,]+', stand_ins)
  if parents ~= '' then
    set_rare(id, 'parents', parents, 'on_parent_failure', special.on_parent_failure)
  end
  place(i, record, special, parents)
  return nil
end

-- Store a job. Returns what to answer for it when it is not new.
local function store(i)
  local record, special = P .. 'job:' .. jobs[i], specials[i]
  if special then
    local answer = store_special(i, record, special)
    if answer then
      return answer
    end
  elseif write_record(i, record, 'pending') then
    queue_up(jobs[i], jobs[i + 2])
  else
    return 'DUPLICATE'
  end
  count('enqueued:' .. jobs[i + 1] .. ':' .. jobs[i + 2], 1)
  return nil
end

local replay = known_request()
if replay then
  return replay
end
if not alone then
  jobs = cmsgpack.unpack(ARGV[5])
end
read_specials()
local missing = missing_parent()
if missing then
  return { 'NOPARENT', missing }
end

for i = 1, #jobs, STRIDE do
  local answer = store(i)
  if answer then
    answers[#answers + 1] = (i + STRIDE - 1) / STRIDE
    answers[#answers + 1] = answer
  end
end
delete_templates()
write_families()
if request then
  note_request(next(stand_ins) ~= nil)
end
if earliest then
  alarm('scheduled', earliest)
end
if placed > 0 then
  write_queued()
end
write_counts()
return answers
