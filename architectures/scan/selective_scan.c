/* Selective scan of Mamba, forward and backward, in float32 on a CPU. C99, no dependencies, no allocation, no threads:
 * the caller hands out items of work and scratch memory, and may run any items at once.
 *
 * Sixteen channels run side by side, one in each lane of an inner loop that compilers turn into vector instructions,
 * so nothing is summed across lanes in the recurrence. The backward pass keeps the state at the start of every chunk of
 * time steps and replays one chunk at a time, so nothing of size batch x channels x time x state exists.
 *
 * Constants of the polynomials: weighted minimax fits of (2^f - 1)/f on |f| <= 1/2 and of atanh on [0, 1/3].
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define LANES 16
#define STEPS 16 /* time steps in a chunk */
#define ROW (LANES * STEPS)
#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f
#define FLOATS(count) (sizeof(float) * (size_t)(count))

#if !defined(__GNUC__)
#define __builtin_prefetch(address) ((void)(address))
#endif

typedef int64_t integer;
typedef const float *restrict In;
typedef float *restrict Out;

typedef struct {
    float *data;                  /* NULL where the argument is absent */
    integer batch, channel, time; /* strides in floats; the one of time is negative where the scan is reversed */
} Strided;

typedef struct {
    integer batch, channels, length, state, group_blocks, softplus;
    Strided u, delta, z, y, grad_y, grad_u, grad_delta, grad_z; /* (batch, channels, time) */
    Strided B, C;                           /* (batch, time, state), state contiguous; .channel unused */
    Strided grad_B, grad_C;                 /* partial sums (batch, group, time, state); .channel: stride of a group */
    const float *A, *D, *bias;              /* (channels, state), (channels), (channels) */
    float *grad_A, *grad_D, *grad_bias;     /* partial sums (batch, channels, state), (batch, channels) twice */
} Scan;

/* Sixteen channels of one batch row, the k-th block of its group. */
typedef struct {
    integer batch, channel, lanes, k;
} Block;

/* What one chunk of a block works on: (STEPS, LANES) each. */
typedef struct {
    float u[ROW], step[ROW], driven[ROW], slope[ROW], z[ROW], y[ROW], grad_y[ROW], grad_step[ROW], grad_driven[ROW];
} Chunk;

integer chunk_steps(void) { return STEPS; }
integer lane_count(void) { return LANES; }

static integer smaller(integer a, integer b) { return a < b ? a : b; }
static integer block_count(const Scan *s) { return (s->channels + LANES - 1) / LANES; }
static integer group_count(const Scan *s) { return (block_count(s) + s->group_blocks - 1) / s->group_blocks; }
static integer chunk_count(const Scan *s) { return (s->length + STEPS - 1) / STEPS; }
static const float *at(Strided x, integer batch, integer time) { return x.data + batch * x.batch + time * x.time; }

/* 2^x to 2e-7, NaN kept; 2^-126 for anything smaller, about 3e38 for anything larger. */
static inline float power_of_two(float x) {
    x = x < -126.0f ? -126.0f : x;
    x = x > 127.99f ? 127.99f : x;
    float shifted = x + 12582912.0f; /* 1.5 * 2^23: rounds x to an integer, held in the low bits */
    float f = x - (shifted - 12582912.0f);
    float p = (0.001326472731307149f * f + 0.009671512991189957f) * f + 0.05550733581185341f;
    p = ((p * f + 0.24022242426872253f) * f + 0.6931470036506653f) * f + 1.0f;
    union { float value; uint32_t bits; } power = {p}, exponent = {shifted};
    power.bits += exponent.bits << 23;
    return power.value;
}

static inline float exp_of_minus_magnitude(float x) { return power_of_two(LOG2_E * (x < 0.0f ? x : -x)); }

static inline float sigmoid(float x) {
    float t = exp_of_minus_magnitude(x);
    return (x < 0.0f ? t : 1.0f) / (1.0f + t);
}

/* max(x, 0) + log(1 + e^-|x|), with log(1 + t) = 2 atanh(t / (2 + t)): small steps keep their relative precision. */
static inline float softplus(float x) {
    float t = exp_of_minus_magnitude(x);
    float s = t / (2.0f + t), r = s * s;
    float p = (0.1400599479675293f * r + 0.14000903069972992f) * r + 0.2001076340675354f;
    p = (p * r + 0.3333320915699005f) * r + 1.0f;
    return (x < 0.0f ? 0.0f : x) + 2.0f * s * p;
}

/* One chunk of a block, turned so that lanes are adjacent; lanes beyond the last channel are 0. A full chunk of
 * contiguous time, up or down, is the usual case and has bounds a compiler knows. */
static void load(Out to, Strided x, Block b, integer start, integer steps) {
    const float *restrict from = at(x, b.batch, start) + b.channel * x.channel;
    for (int l = 0; l < b.lanes; l++) __builtin_prefetch(from + l * x.channel + STEPS * x.time);
    if (b.lanes == LANES && steps == STEPS && (x.time == 1 || x.time == -1)) {
        int down = x.time < 0 ? STEPS - 1 : 0;
        for (int t = 0; t < STEPS; t++)
            for (int l = 0; l < LANES; l++) to[(t ^ down) * LANES + l] = from[l * x.channel + t - down];
        return;
    }
    memset(to, 0, FLOATS(ROW));
    for (integer l = 0; l < b.lanes; l++)
        for (integer t = 0; t < steps; t++) to[t * LANES + l] = from[l * x.channel + t * x.time];
}

static void store(Strided x, Block b, integer start, integer steps, In from) {
    float *restrict to = x.data + b.batch * x.batch + b.channel * x.channel + start * x.time;
    if (b.lanes == LANES && steps == STEPS && (x.time == 1 || x.time == -1)) {
        int down = x.time < 0 ? STEPS - 1 : 0;
        for (int l = 0; l < LANES; l++)
            for (int t = 0; t < STEPS; t++) to[l * x.channel + t - down] = from[(t ^ down) * LANES + l];
        return;
    }
    for (integer l = 0; l < b.lanes; l++)
        for (integer t = 0; t < steps; t++) to[l * x.channel + t * x.time] = from[t * LANES + l];
}

/* A log2(e) as (state, LANES), and D and the bias, 0 where absent. */
static void load_constants(const Scan *s, Block b, Out rates, Out skip, Out bias) {
    memset(rates, 0, FLOATS(LANES * s->state));
    for (integer l = 0; l < LANES; l++) {
        skip[l] = s->D && l < b.lanes ? s->D[b.channel + l] : 0.0f;
        bias[l] = s->bias && l < b.lanes ? s->bias[b.channel + l] : 0.0f;
        for (integer n = 0; n < s->state && l < b.lanes; n++)
            rates[n * LANES + l] = LOG2_E * s->A[(b.channel + l) * s->state + n];
    }
}

/* u, the step, step * u, and d step / d delta if asked for. */
static void form_steps(const Scan *s, Block b, integer start, integer steps, In bias, int slope, Chunk *restrict c) {
    load(c->u, s->u, b, start, steps);
    load(c->step, s->delta, b, start, steps);
    for (integer i = 0; i < steps * LANES; i++) c->step[i] += bias[i % LANES];
    if (s->softplus && slope)
        for (integer i = 0; i < steps * LANES; i++) c->slope[i] = sigmoid(c->step[i]);
    if (s->softplus)
        for (integer i = 0; i < steps * LANES; i++) c->step[i] = softplus(c->step[i]);
    for (integer i = 0; i < steps * LANES; i++) c->driven[i] = c->step[i] * c->u[i];
}

/* One time step of LANES channels: decay = exp(step A), after = decay before + step u B, y = C . after. */
static inline void advance(integer state, In rates, In step, In driven, In B, In C, In before, Out after, Out decay,
                           Out y) {
    float sum[LANES] = {0};
    for (integer n = 0; n < state; n++) {
        float b = B[n], c = C[n];
        for (int l = 0; l < LANES; l++) {
            float kept = power_of_two(step[l] * rates[n * LANES + l]);
            float now = kept * before[n * LANES + l] + driven[l] * b;
            decay[n * LANES + l] = kept;
            after[n * LANES + l] = now;
            sum[l] += now * c;
        }
    }
    for (int l = 0; l < LANES; l++) y[l] = sum[l];
}

/* Back over one step: `carried` enters as the gradient that h of this step receives from the next one, and leaves as
 * what it passes to the one before. */
static inline void retreat(integer state, In rates, In step, In driven, In grad_y, In B, In C, In before, In after,
                           In decay, Out carried, Out grad_A, Out grad_B, Out grad_C, Out grad_step, Out grad_driven) {
    float by_step[LANES] = {0}, by_driven[LANES] = {0};
    for (integer n = 0; n < state; n++) {
        float b = B[n], c = C[n];
        for (int l = 0; l < LANES; l++) {
            integer i = n * LANES + l;
            float g = carried[i] + grad_y[l] * c;
            grad_C[i] += grad_y[l] * after[i];
            grad_B[i] += g * driven[l];
            by_driven[l] += g * b;
            g *= decay[i];
            carried[i] = g;
            g *= before[i];
            grad_A[i] += g * step[l];
            by_step[l] += g * rates[i];
        }
    }
    for (int l = 0; l < LANES; l++) grad_step[l] = LN_2 * by_step[l], grad_driven[l] = by_driven[l];
}

/* Floats of scratch memory that one running item needs. */
integer forward_scratch(const Scan *s) { return 4 * LANES * s->state; }

integer backward_scratch(const Scan *s) {
    return LANES * s->state * (s->group_blocks * (chunk_count(s) + 3) + 4 * STEPS + 1) + 4 * LANES * s->group_blocks;
}

static void forward_block(const Scan *s, float *scratch, Block b) {
    integer cells = LANES * s->state;
    float *rates = scratch, *decay = scratch + cells, *h = decay + cells, *next = h + cells, *turn;
    float skip[LANES], bias[LANES];
    Chunk c;
    load_constants(s, b, rates, skip, bias);
    memset(h, 0, FLOATS(cells));
    for (integer start = 0; start < s->length; start += STEPS) {
        integer steps = smaller(STEPS, s->length - start);
        const float *B = at(s->B, b.batch, start), *C = at(s->C, b.batch, start);
        form_steps(s, b, start, steps, bias, 0, &c);
        for (integer t = 0; t < steps; t++, turn = h, h = next, next = turn)
            advance(s->state, rates, c.step + t * LANES, c.driven + t * LANES, B + t * s->B.time, C + t * s->C.time, h,
                    next, decay, c.y + t * LANES);
        for (integer i = 0; i < steps * LANES; i++) c.y[i] += skip[i % LANES] * c.u[i];
        if (s->z.data) {
            load(c.z, s->z, b, start, steps);
            for (integer i = 0; i < steps * LANES; i++) c.y[i] *= c.z[i] * sigmoid(c.z[i]);
        }
        store(s->y, b, start, steps, c.y);
    }
}

static Block block_of(const Scan *s, integer batch, integer group, integer k) {
    integer channel = (group * s->group_blocks + k) * LANES;
    Block b = {batch, channel, smaller(LANES, s->channels - channel), k};
    return b;
}

/* Items first .. last - 1; item i is group i % groups of batch row i / groups. */
void scan_forward(const Scan *s, float *scratch, integer first, integer last) {
    integer groups = group_count(s);
    for (integer item = first; item < last; item++) {
        integer group = item % groups, blocks = smaller(s->group_blocks, block_count(s) - group * s->group_blocks);
        for (integer k = 0; k < blocks; k++) forward_block(s, scratch, block_of(s, item / groups, group, k));
    }
}

/* What the backward pass of one group keeps; sizes in floats are LANES times those in the comments. */
typedef struct {
    float *carried, *grad_A, *grad_D, *grad_bias; /* group_blocks x state, twice; group_blocks, twice; zero at first */
    float *rates, *skip, *bias;                   /* group_blocks x state; group_blocks, twice */
    float *h, *decay;                             /* (STEPS + 1) x state, STEPS x state */
    float *grad_B, *grad_C;                       /* STEPS x state, each */
    float *starts;                                /* chunks x group_blocks x state */
} Group;

static Group lay_out(const Scan *s, float *scratch) {
    integer cells = LANES * s->state, blocks = s->group_blocks, sizes[] = {
        blocks * cells, blocks * cells, blocks * LANES, blocks * LANES, blocks * cells, blocks * LANES, blocks * LANES,
        (STEPS + 1) * cells, STEPS * cells, STEPS * cells, STEPS * cells};
    Group g;
    float **places[] = {&g.carried, &g.grad_A, &g.grad_D, &g.grad_bias, &g.rates, &g.skip,
                        &g.bias, &g.h, &g.decay, &g.grad_B, &g.grad_C};
    for (int i = 0; i < 11; scratch += sizes[i++]) *places[i] = scratch;
    g.starts = scratch;
    memset(g.carried, 0, FLOATS(g.rates - g.carried));
    return g;
}

/* The states in which the chunks of one block begin. */
static void keep_starts(const Scan *s, const Group *g, Block b) {
    integer cells = LANES * s->state;
    float *h = g->h, *next = h + cells, *turn;
    Chunk c;
    memset(h, 0, FLOATS(cells));
    for (integer start = 0; start < s->length; start += STEPS) {
        const float *B = at(s->B, b.batch, start), *C = at(s->C, b.batch, start);
        memcpy(g->starts + (start / STEPS * s->group_blocks + b.k) * cells, h, FLOATS(cells));
        if (start + STEPS >= s->length) break;
        form_steps(s, b, start, STEPS, g->bias + b.k * LANES, 0, &c);
        for (integer t = 0; t < STEPS; t++, turn = h, h = next, next = turn)
            advance(s->state, g->rates + b.k * cells, c.step + t * LANES, c.driven + t * LANES, B + t * s->B.time,
                    C + t * s->C.time, h, next, g->decay, c.y + t * LANES);
    }
}

/* From the gradient of y to that of C . h, and the gradient of z. */
static void back_through_gate(const Scan *s, In skip, Block b, integer start, integer steps, Chunk *restrict c) {
    load(c->z, s->z, b, start, steps);
    for (integer i = 0; i < steps * LANES; i++) {
        float gate = sigmoid(c->z[i]), y = c->y[i] + skip[i % LANES] * c->u[i], grad = c->grad_y[i];
        c->y[i] = grad * y * gate * (1.0f + c->z[i] * (1.0f - gate));
        c->grad_y[i] = grad * c->z[i] * gate;
    }
    store(s->grad_z, b, start, steps, c->y);
}

/* One chunk of one block: replay its states, then walk back over its steps. */
static void back_over_chunk(const Scan *s, const Group *g, Block b, integer start) {
    integer N = s->state, cells = LANES * N, steps = smaller(STEPS, s->length - start);
    const float *rates = g->rates + b.k * cells, *skip = g->skip + b.k * LANES;
    const float *B = at(s->B, b.batch, start), *C = at(s->C, b.batch, start);
    float *grad_D = g->grad_D + b.k * LANES, *grad_bias = g->grad_bias + b.k * LANES;
    Chunk c;
    form_steps(s, b, start, steps, g->bias + b.k * LANES, 1, &c);
    load(c.grad_y, s->grad_y, b, start, steps);
    memcpy(g->h, g->starts + (start / STEPS * s->group_blocks + b.k) * cells, FLOATS(cells));
    for (integer t = 0; t < steps; t++)
        advance(N, rates, c.step + t * LANES, c.driven + t * LANES, B + t * s->B.time, C + t * s->C.time,
                g->h + t * cells, g->h + (t + 1) * cells, g->decay + t * cells, c.y + t * LANES);
    if (s->z.data) back_through_gate(s, skip, b, start, steps, &c);
    for (integer t = steps - 1; t >= 0; t--)
        retreat(N, rates, c.step + t * LANES, c.driven + t * LANES, c.grad_y + t * LANES, B + t * s->B.time,
                C + t * s->C.time, g->h + t * cells, g->h + (t + 1) * cells, g->decay + t * cells,
                g->carried + b.k * cells, g->grad_A + b.k * cells, g->grad_B + t * cells, g->grad_C + t * cells,
                c.grad_step + t * LANES, c.grad_driven + t * LANES);
    for (integer t = 0; t < steps; t++)
        for (int l = 0; l < LANES; l++) {
            integer i = t * LANES + l;
            float by_delta = (c.grad_step[i] + c.grad_driven[i] * c.u[i]) * (s->softplus ? c.slope[i] : 1.0f);
            grad_D[l] += c.grad_y[i] * c.u[i];
            grad_bias[l] += by_delta;
            c.grad_driven[i] = c.grad_driven[i] * c.step[i] + skip[l] * c.grad_y[i];
            c.grad_step[i] = by_delta;
        }
    store(s->grad_u, b, start, steps, c.grad_driven);
    store(s->grad_delta, b, start, steps, c.grad_step);
}

/* Add up the lanes of a chunk's gradient of B or C and write it out. */
static void store_sums(const Scan *s, Strided x, In lanes, Out to, integer steps) {
    for (integer t = 0; t < steps; t++)
        for (integer n = 0; n < s->state; n++) {
            float sum = 0.0f;
            for (int l = 0; l < LANES; l++) sum += lanes[(t * s->state + n) * LANES + l];
            to[t * x.time + n] = sum;
        }
}

static void backward_group(const Scan *s, float *scratch, integer batch, integer group) {
    Group g = lay_out(s, scratch);
    integer N = s->state, cells = LANES * N;
    integer blocks = smaller(s->group_blocks, block_count(s) - group * s->group_blocks);
    for (integer k = 0; k < blocks; k++) {
        Block b = block_of(s, batch, group, k);
        load_constants(s, b, g.rates + k * cells, g.skip + k * LANES, g.bias + k * LANES);
        keep_starts(s, &g, b);
    }
    for (integer start = (chunk_count(s) - 1) * STEPS; start >= 0; start -= STEPS) {
        integer steps = smaller(STEPS, s->length - start);
        memset(g.grad_B, 0, FLOATS(2 * STEPS * cells)); /* grad_C lies behind it */
        for (integer k = 0; k < blocks; k++) back_over_chunk(s, &g, block_of(s, batch, group, k), start);
        store_sums(s, s->grad_B, g.grad_B, (float *)at(s->grad_B, batch, start) + group * s->grad_B.channel, steps);
        store_sums(s, s->grad_C, g.grad_C, (float *)at(s->grad_C, batch, start) + group * s->grad_C.channel, steps);
    }
    for (integer k = 0; k < blocks; k++) {
        Block b = block_of(s, batch, group, k);
        integer row = batch * s->channels + b.channel;
        for (integer l = 0; l < b.lanes; l++) {
            for (integer n = 0; n < N; n++) s->grad_A[(row + l) * N + n] = g.grad_A[k * cells + n * LANES + l];
            s->grad_D[row + l] = g.grad_D[k * LANES + l];
            s->grad_bias[row + l] = g.grad_bias[k * LANES + l];
        }
    }
}

/* Items as in scan_forward. */
void scan_backward(const Scan *s, float *scratch, integer first, integer last) {
    integer groups = group_count(s);
    for (integer item = first; item < last; item++) backward_group(s, scratch, item / groups, item % groups);
}
