-- Store new jobs and put each where it waits. A repeat with the same ids, or under the same idempotency key, stores
-- nothing twice.
--
-- - -> pending (the first one moves on to `next`); scheduled if it is not due yet, or if it waits
-- for other jobs
--
-- KEYS  1 prefix
-- ARGV  for a single plain job without an idempotency key: id, type, priority, envelope, and its tenant if it has one. Else
--       1 digest of the idempotency key or ''  2 digest of the request  3 what to answer a repeat with  4 for how
--       many ms  5 a packed list (MessagePack) of all jobs' values: id, type, priority, tenant or ''  6 '' if all jobs
--       are plain (but for their tenants), else a packed list of the number of each other one, from 1 on, and its options;
--       then the envelope of each job. Options are lines of: due ('': now), expires ('': never), when to start no other
--       attempt ('': never), retention ms ('': the default), unique name (type, key, owner) or '', ms that it counts, limit
--       key or '', ids that it waits for, joined by commas, or '': <id>@<queue> in another queue; 'run' or 'fail' when one of
--       those does not complete; what its end tells (see library/outbox.lua); digest of the submission of a job whose id was
--       chosen; callback; with a unique mode three more (see unique_modes): the mode, ms after which a job is postponed no
--       more, or '', and the id of the job whose folder has the files, or ''. Times are ms since 1970, or '+5000' for that
--       many from now. With bounds on waiting jobs four more: 'all' to store all jobs or none, 'some' those that fit, 'none'
--       to only check; how many may wait, or ''; the owner of the jobs; how many of an owner may wait, or ''
-- Returns  {REPLAYED, what ARGV 3 was the first time} or {MISMATCH} for a known idempotency key,
--       {NOPARENT, id} when a job to wait for does not exist, {BEYOND, {the number and the answer of each job that does
--       not fit}}, {TAKEN, {the number of each job whose chosen id is that of another one, and TAKEN}}, {REJECTED, {the
--       same of jobs that reject}}, {MOVED, {number and id of the job whose folder must have the files}}, else OK, and of
--       those jobs that are not new
--       the number, from 1 on, and DUPLICATE when its record existed already, or id, state and priority of the job
--       that has its unique key or its chosen id, and `replaced` or `rejected`, or TAKEN, or BEYOND and the bound (queue
--       or owner); after REPLAYED come those that were not new the first time

-- Nearly every call has a single plain job, which is stored here. Only if others wait while `next` is empty, they have to
-- be put in order, so that the job takes the general way below.
local is_of_tenant = #ARGV == 5
local is_single = #ARGV == 4 or is_of_tenant
if #ARGV == 4 then
  local id, job_type, priority = ARGV[1], ARGV[2], ARGV[3]
  local record, first = P .. KEY.job .. id, P .. KEY.next
  -- A key that is named twice counts twice, so that one command asks about both.
  local existing = redis.call('EXISTS', record, first, first)
  if existing % 2 == 1 then
    return { 'OK', 1, 'DUPLICATE' }
  end
  local list
  if existing == 2 then
    list = P .. KEY.pending .. priority
  elseif redis.call('EXISTS', P .. KEY.paused, EVERY.pending) == 0 then
    list = first
  end
  if list then
    -- The first write: a server that is out of memory refuses the call here.
    redis.call('HSET', record, 'type', job_type, 'priority', priority, 'state', STATE.pending, 'since', now,
      'envelope', ARGV[4], 'plain', '1')
    redis.call('LPUSH', list, id)
    redis.call('HINCRBY', P .. KEY.totals, COUNTER.enqueued .. job_type .. ':' .. priority, 1)
    return { 'OK' }
  end
end

-- The same for a job that is plain but for its tenant, while others wait.
if is_of_tenant then
  local id, job_type, priority = ARGV[1], ARGV[2], ARGV[3]
  local record, first = P .. KEY.job .. id, P .. KEY.next
  local existing = redis.call('EXISTS', record, first, first)
  if existing % 2 == 1 then
    return { 'OK', 1, 'DUPLICATE' }
  end
  if existing == 2 then
    redis.call('HSET', record, 'type', job_type, 'priority', priority, 'state', STATE.pending, 'since', now,
      'envelope', ARGV[4], 'plain', '1', 'tenant', ARGV[5])
    push_pending('LPUSH', id, priority, ARGV[5])
    redis.call('HINCRBY', P .. KEY.totals, COUNTER.enqueued .. job_type .. ':' .. priority, 1)
    return { 'OK' }
  end
end

local STRIDE = 4 -- values of a job in `jobs`
local jobs = is_single and { ARGV[1], ARGV[2], ARGV[3], ARGV[5] or '' } or cmsgpack.unpack(ARGV[5])
local answers, earliest = { 'OK' }, nil

local request = not is_single and ARGV[1] ~= '' and P .. KEY.idempotency .. ARGV[1] -- the key, if the call has one

local function known_request()
  local known = request and redis.call('GET', request)
  if not known then
    return nil
  end
  local digest, answer = string.match(known, '^(%S+) (.*)$')
  if digest ~= ARGV[2] then
    return { 'MISMATCH' }
  end
  local duplicates = redis.call('GET', P .. KEY.duplicates .. ARGV[1])
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
    redis.call('SET', P .. KEY.duplicates .. ARGV[1], cmsgpack.pack(answers), 'PX', ARGV[4])
    table.insert(answers, 1, 'OK')
  end
end

local options, has_modes = {}, false -- place of a job's id in `jobs` -> its options, if it is not plain

local function parse_all_options()
  local packed = not is_single and ARGV[6] ~= '' and cmsgpack.unpack(ARGV[6]) or {}
  for at = 1, #packed, 2 do
    local i = (packed[at] - 1) * STRIDE + 1
    options[i] = parse_options(packed[at + 1], jobs[i + 3])
    has_modes = has_modes or options[i].unique_mode ~= nil
  end
end

-- All checks come before the first write. A parent may come earlier in the same call.
local function missing_parent()
  if not next(options) then
    return nil
  end
  local earlier = {}
  for i = 1, #jobs, STRIDE do
    local parents = options[i] and options[i].parents or ''
    -- A repeat may come after the parents' records have expired: what was stored is stored.
    local is_new = parents ~= '' and redis.call('EXISTS', P .. KEY.job .. jobs[i]) == 0
    for parent in string.gmatch(is_new and parents or '', '[^,]+') do
      if not earlier[parent] and not string.find(parent, '@', 1, true) and redis.call('EXISTS', P .. KEY.job .. parent) == 0 then
        return parent
      end
    end
    earlier[jobs[i]] = true
  end
end

local mode, most, owner, most_of_owner = unpack(ARGV, 7 + #jobs / STRIDE)
local beyond, refused -- the jobs that do not fit, if there are bounds: see `find_beyond`

local holders = {} -- id of a job that is not stored -> id of the job that has its unique key

-- Put a single job straight into `next` when nothing else waits. Returns whether it did.
local function went_to_next()
  if queued_jobs > 1 or redis.call('EXISTS', P .. KEY.paused, EVERY.pending) > 0 then
    return false
  end
  local _, ids = next(queued)
  local _, of_tenants = next(tenants_queued)
  local tenant = of_tenants and of_tenants.names[1]
  local id = ids and ids[1] or of_tenants and of_tenants.ids[tenant]
  if not id or is_limited_tenant(tenant) then
    return false
  end
  redis.call('LPUSH', P .. KEY.next, id)
  return true
end

local function write_queued()
  local has_next = redis.call('EXISTS', P .. KEY.next) == 1
  if not has_next and went_to_next() then
    return
  end
  push_queued()
  if not has_next then
    ensure_next()
  end
end

local function envelope_of(i)
  return ARGV[is_single and 4 or 7 + (i - 1) / STRIDE]
end

local templates = {} -- type, priority, state -> key of a record without an envelope; '' after the first job like that

-- Write a job's record unless it exists. Those of a kind are copies of one record: a short one is copied in less time
-- than it is written in, field by field. Returns whether it was written.
local function write_record(i, record, state, tenant)
  local job_type, priority = jobs[i + 1], jobs[i + 2]
  local kind = state .. ':' .. priority .. ':' .. job_type
  local template = templates[kind]
  if not template then
    if redis.call('EXISTS', record) == 1 then
      return false
    end
    -- The first write: a server that is out of memory refuses the whole call here.
    redis.call('HSET', record, 'type', job_type, 'priority', priority, 'state', state, 'since', now,
      'envelope', envelope_of(i), 'plain', '1', unpack(tenant and { 'tenant', tenant } or {}))
    templates[kind] = ''
    return true
  end
  if template == '' then
    template = P .. KEY.new .. kind
    -- One that is left of a call that failed has another time.
    redis.call('DEL', template)
    redis.call('HSET', template, 'type', job_type, 'priority', priority, 'state', state, 'since', now, 'plain', '1')
    templates[kind] = template
  end
  if redis.call('COPY', template, record) == 0 then
    return false
  end
  if tenant then
    redis.call('HSET', record, 'envelope', envelope_of(i), 'tenant', tenant)
  else
    redis.call('HSET', record, 'envelope', envelope_of(i))
  end
  return true
end

local function delete_templates()
  for _, template in pairs(templates) do
    if template ~= '' then
      redis.call('DEL', template)
    end
  end
end

local function place(i, record, job, parents)
  local id, job_type, due = jobs[i], jobs[i + 1], job.due
  local waiting_for, failed_parent = follow_parents(id, parents)
  if failed_parent and job.on_parent_failure ~= 'run' then
    fail_child(failed_parent, id, record, job_type)
    free_unique_key(id, job.unique, true)
    if job.tells ~= '' then
      post_state(id, STATE.failed, job.tells)
    end
    job.has_failed = true
  elseif waiting_for > 0 then
    redis.call('HSET', record, 'state', STATE.scheduled, 'waiting_for', waiting_for, 'due', due)
    redis.call('ZADD', P .. KEY.scheduled, NEVER, id)
  elseif due > now then
    redis.call('HSET', record, 'due', due)
    redis.call('ZADD', P .. KEY.scheduled, due, id)
    earliest = math.min(earliest or due, due)
  else
    queue_up(id, jobs[i + 2], job.tenant)
  end
end

-- Return the answer for a job that is not stored, because another one has its unique key.
local function give_way(i, job)
  local id, job_type, priority = jobs[i], jobs[i + 1], jobs[i + 2]
  local repeated = job.unique_mode == 'replace' and redis.call('GET', P .. KEY.replaced .. id)
  if repeated then
    holders[id] = string.match(repeated, '^%S+')
    return repeated
  end
  local holder, answer, running = find_holder(job, job_type)
  holders[id] = holder
  if running then
    job.parents, job.on_parent_failure = running, 'run'
  elseif holder and job.unique_mode == 'replace' then
    local due, its_priority
    answer, due, its_priority = replace_job(holder, id, job, job_type, priority, envelope_of(i))
    if due == 0 then
      queue_up(holder, its_priority, job.tenant)
    elseif due then
      earliest = math.min(earliest or due, due)
    end
  elseif holder and job.unique_mode then
    answer = answer .. ' rejected'
  end
  return answer
end

local function store_with_options(i, record, job) -- rare
  local id, unique = jobs[i], job.unique
  local known = job.named ~= '' and known_by_id(id)
  if known then
    return known == job.named and answer_named(id) or 'TAKEN'
  end
  -- A repeat is one even if another job has the key meanwhile.
  local answer = unique ~= '' and redis.call('EXISTS', record) == 0 and give_way(i, job)
  if answer then
    return answer
  end
  if not write_record(i, record, job.due > now and STATE.scheduled or STATE.pending, job.tenant) then
    return 'DUPLICATE'
  end
  if job.expires then
    set_extra(id, 'expires', job.expires)
  end
  if job.give_up then
    set_extra(id, 'give_up', job.give_up)
  end
  if job.retention ~= '' then
    set_extra(id, 'retention', job.retention)
  end
  if unique ~= '' then
    unique = name_to_store(unique, jobs[i + 1])
    job.unique = unique
    set_extra(id, 'unique', unique)
    redis.call('SET', P .. KEY.unique .. unique, id, 'PX', job.unique_for)
  end
  if job.callback ~= '' then
    set_extra(id, 'callback', job.callback)
  end
  if job.limit_key ~= '' then
    set_extra(id, 'bucket', jobs[i + 1] .. '/' .. job.limit_key)
  end
  if job.tells ~= '' then
    set_extra(id, 'tells', job.tells)
  end
  if job.named ~= '' then
    remember_named(id, job.named)
  end
  local parents = string.gsub(job.parents, '[^,]+', holders)
  if parents ~= '' then
    set_extra(id, 'parents', (string.gsub(parents, '@[^,]*', '')), 'on_parent_failure', job.on_parent_failure)
  end
  place(i, record, job, parents)
end

-- Store a job. Returns what to answer for it when it is not new.
local function store(i)
  local record, job = P .. KEY.job .. jobs[i], options[i]
  if beyond and beyond[(i + STRIDE - 1) / STRIDE] then
    return beyond[(i + STRIDE - 1) / STRIDE]
  elseif job then
    local answer = store_with_options(i, record, job)
    if answer then
      return answer
    end
  else
    local tenant = jobs[i + 3] ~= '' and jobs[i + 3]
    if not write_record(i, record, STATE.pending, tenant) then
      return 'DUPLICATE'
    end
    queue_up(jobs[i], jobs[i + 2], tenant)
  end
  count_stored(jobs[i + 1], jobs[i + 2])
  return nil
end

local replay = known_request()
if replay then
  return replay
end
parse_all_options()
local missing = missing_parent()
if missing then
  return { 'NOPARENT', missing }
end
local taken = next(options) and mode ~= 'some' and ids_taken(jobs, options, STRIDE)
if taken and #taken > 0 then
  return { 'TAKEN', taken }
end

local refusal = has_modes and refuse_unique(jobs, options, STRIDE)
if refusal then
  return refusal
end

if mode then
  -- Whether a job would be one more: it is not there, and no job with its unique key is, nor comes earlier in the call.
  local function is_one_more(number, uniques)
    local i = (number - 1) * STRIDE + 1
    local unique = options[i] and options[i].unique or ''
    if redis.call('EXISTS', P .. KEY.job .. jobs[i]) == 1 or (unique ~= '' and find_holder(options[i], jobs[i + 1])) then
      return false
    end
    local comes_earlier = uniques[unique]
    uniques[unique] = unique ~= ''
    return not comes_earlier
  end

  beyond, refused = find_beyond(#jobs / STRIDE, is_one_more, most, owner, most_of_owner)
  if mode ~= 'some' and #refused > 0 then
    return { 'BEYOND', refused }
  elseif mode == 'none' then
    return answers
  end
end

local counts_owner, owner_jobs = mode and most_of_owner ~= '' and owner ~= '', 0

for i = 1, #jobs, STRIDE do
  local answer = store(i)
  if answer then
    answers[#answers + 1] = (i + STRIDE - 1) / STRIDE
    answers[#answers + 1] = answer
  elseif counts_owner and not (options[i] and options[i].has_failed) then
    set_extra(jobs[i], 'owner', owner)
    owner_jobs = owner_jobs + 1
  end
end
delete_templates()
write_parents()
if owner_jobs > 0 then
  redis.call('HINCRBY', P .. KEY.waiting, owner, owner_jobs)
end
if request then
  note_request(next(holders) ~= nil or (refused and #refused > 0))
end
if earliest then
  wake_scheduler_if_first(KEY.scheduled, earliest)
end
if queued_jobs > 0 then
  write_queued()
end
write_counts()
return answers
