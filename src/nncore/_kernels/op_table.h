/* The declaration of every op: the arrays, sizes and constants that Python binds to it.
 *
 *     OP(name, "arrays", "sizes", "constants")     names in their order, separated by spaces
 *     FLOAT_OP(...)                                the same, in float only
 *     UPDATE(name, slots, coefficients)            reads the first coefficients of a step's row, this many; with its form for
 *                                                  networks in lanes, lanes_name, where each has its own
 *
 * A size that is called column, or ends with _column, is the index of a coefficient that the op reads.
 *
 *     y=      an array that the op writes to; all others are only read, and may be read-only
 *     b?      an optional array (NULL here, None in Python); a size at the end that may be omitted, and is 0 then
 *
 * The boundary (program.pyx) checks its bindings against this table, and docs/design/kernels.rst prints it and explains the names.
 * A new kernel is one line here; so is an activation with its three ops, and a loss with its two.  Special shapes and types are
 * documented at the op's function. */
#ifdef BFLOAT16_ONLY    /* the table of the instruction set that has only the products of bfloat16 numbers */
#define READING(name, arrays, sizes, constants, coefficients)
#else
#define READING(name, arrays, sizes, constants, coefficients)                                                                  \
    {#name, {op_##name##_f32, op_##name##_f64}, arrays, sizes, constants, coefficients},
#endif
#define OP(name, arrays, sizes, constants) READING(name, arrays, sizes, constants, 0)
#define FLOAT_OP(name, arrays, sizes, constants) {#name, {op_##name##_f32, NULL}, arrays, sizes, constants, 0},

/* The last array of an op over tiles of the parameters (tiles.h) is the tile table; the boundary stores it at NN_TILE_TABLE. */
#define TILE_TABLE "tile_table"
#define OVER_TILES(name, arrays, sizes, constants) OP(name, arrays " " TILE_TABLE, sizes, constants)

#define ACTIVATION(name, constants)                                                                                            \
    OP(name##_forward, "h= z", "width", constants)                                                                             \
    OP(name##_backward, "dz= dh z h", "width", constants)                                                                      \
    OP(name##_tangent_backward, "tdz= tdh dh tz z h", "width", constants)
#define LOSS(name, constants)                                                                                                  \
    OP(name, "loss= dy=? y d weight?", "width", constants)                                                                     \
    OP(name##_tangent, "tdy= ty y d weight?", "width", constants)
#define PAIR(name, sizes, constants)                                                                                           \
    OP(name##_forward, "y= x", sizes, constants)                                                                               \
    OP(name##_backward, "dx= dy", sizes, constants)
#define UPDATE(name, slots, coefficients)                                                                                      \
    READING(name, "theta= g" slots " " TILE_TABLE, "", "", coefficients)                                                       \
    READING(lanes_##name, "theta= g" slots " " TILE_TABLE, "", "", coefficients)

#define STREAM "key place"    /* of random numbers: random.h */
#define STEPS "units inputs gap x_gap steps"
#define CELL "units steps sequences sampled " STREAM " backwards?"
#define FORWARD_CELL(name, arrays, weights)                                                                                    \
    OP(name##_forward, "y= " arrays " product= " weights " mask? initial? last=?", CELL, "rate")                               \
    FLOAT_OP(name##_forward_bfloat16, "y= " arrays " product= rounded= " weights " mask? initial? last=?", CELL, "rate")
#define BACKWARD_CELL(name, deltas, arrays)                                                                                    \
    OP(name##_backward, deltas " carry= " arrays " mask? g=?", CELL, "rate")                                                   \
    FLOAT_OP(name##_backward_bfloat16, deltas " carry= rounded= " arrays " mask? g=?", CELL, "rate")
#define NORM "channels length places"
#define GROUPS "groups size share"
#define ONLINE "W= average=? penalty=? state= signals= loss=? labels? targets weights? rates"
#define RULES "l2 l1 epsilon aggressiveness bias_factor average_from"

static const nn_entry nn_table[] = {
    /* moving rows */
    OP(gather_rows, "out= data", "width", "")
    OP(gather_csr, "out= values columns starts", "width", "")
    OP(gather_labels, "out= labels", "classes", "")
    OP(gather_one_hot, "out= labels", "width", "off on")
    OP(gather_weights, "out= weights", "", "")
    OP(write_rows, "out= rows", "width", "")
    OP(spread_rows, "out= rows", "width gap repeats", "")
    OP(random_words, "out=", "shuffle_key first", "")

    /* dense */
    OP(dense_forward, "y= x packed_W b?", "units inputs x_gap?", "")
    OP(dense_forward_direct, "y= x W b?", "units inputs x_gap tile_units", "")
    OP(dense_forward_narrow, "y= x W b?", "units inputs x_gap?", "")
    OP(dense_backward_input, "dx= dy W", "units inputs dy_gap?", "")
    OP(dense_backward_weight, "dW= dy x tiles", "units inputs dy_gap? x_gap?", "")
    OP(dense_backward_bias, "db= dy", "units", "")
    OP(pack_weight, "packed_W= W tiles", "units inputs", "")
    OP(pack_large_weight, "packed_W= W tiles", "units inputs", "")
    OP(dense_forward_blas, "y= x W b? gemm", "units inputs x_gap?", "")
    OP(dense_backward_input_blas, "dx= dy W gemm", "units inputs dy_gap?", "")
    OP(dense_backward_weight_blas, "dW= dy x tiles gemm", "units inputs dy_gap? x_gap?", "")

    /* dense, with products of bfloat16 numbers */
    FLOAT_OP(rows_bfloat16, "rows16=? pairs=? rows", "width gap row_pairs steps", "")
    FLOAT_OP(pack_weight_bfloat16, "packed_W= paired_W=? W tiles", "units inputs", "")
    FLOAT_OP(pack_large_weight_bfloat16, "packed_W= paired_W=? W tiles", "units inputs", "")
    FLOAT_OP(dense_forward_bfloat16, "y= x packed_W b?", "units inputs x_gap?", "")
    FLOAT_OP(dense_backward_input_bfloat16, "dx= dy paired_W", "units inputs dy_gap?", "")
    FLOAT_OP(dense_backward_weight_bfloat16, "dW= dy x tiles", "units inputs row_pairs", "")

    /* dense, of many networks at once */
    OP(lanes_dense_forward, "y= x W b?", "units inputs", "")
    OP(lanes_dense_relu_forward, "h= x W b?", "units inputs", "")
    OP(lanes_dense_backward_input, "dx= dy W", "units inputs", "")
    OP(lanes_dense_relu_backward_input, "dz= dy W h", "units inputs", "")
    OP(lanes_dense_backward_weight, "dW= dy x", "units inputs", "")
    OP(lanes_dense_backward_bias, "db= chains= dy", "units", "")
    OP(lanes_softmax_cross_entropy, "loss= dy= y labels", "width", "")
    OP(lanes_sums, "sums= chains= record", "", "")
    OVER_TILES(lanes_average, "average= theta", "column", "")
    OVER_TILES(lanes_decay, "theta=", "column", "")
    OP(to_lanes, "out= in", "width", "")
    OP(from_lanes, "out= in", "width", "")

    /* dense, on rows of a sparse matrix; W and g are stored by input */
    OP(csr_locate, "places= values columns starts bounds", "", "")
    OP(csr_forward, "y= values columns places W b?", "units inputs", "")
    OP(csr_backward_weight, "g= dy values columns places bounds", "units inputs", "")
    OP(csr_backward_touched, "g= lists= rows= place= stale= dy values columns places bounds", "units inputs", "")
    OP(csr_begin, "lists= place= stale= bounds", "", "")
    OP(csr_settle, "g= place stale= bounds", "units", "")
    OP(lazy_begin, "last= table= state= bounds", "", "")
    OP(lazy_advance, "table= state=", "lr_column decay_column average_column", "l1 l2")
    OP(catch_up, "W= average=? last= table state columns places bounds", "units inputs", "")
    OP(catch_up_crossing, "W= average=? last= table state columns places bounds", "units inputs", "")
    OP(catch_up_all, "W= average=? last= table state bounds", "units inputs", "")
    OP(catch_up_crossing_all, "W= average=? last= table state bounds", "units inputs", "")

    /* recurrent; `new` and `gates` hold the contribution of the input on entry */
    FORWARD_CELL(simple_rnn, "new= previous=", "packed_U")
    BACKWARD_CELL(simple_rnn, "delta=", "dy new U")
    FORWARD_CELL(gru, "gates= q= previous=", "packed_U c")
    BACKWARD_CELL(gru, "delta= recurrent_delta=", "dy gates q previous U")
    FORWARD_CELL(gru_reset_before, "gates= reset= previous=", "packed_U packed_U_n")
    BACKWARD_CELL(gru_reset_before, "delta= delta_rz= delta_n=", "dy gates previous U U_n")
    OP(mask_steps, "mask= x earlier?", "steps inputs", "value")
    OP(clear_skipped, "a= mask", "steps width", "")
    OP(join_rows, "y= a b", "a_width b_width steps", "")
    OP(part_rows, "a= b= y", "a_width b_width steps", "")
    OP(add_rows, "y= a b", "width", "factor")
    OP(dense_steps_forward, "y= x packed_W b?", STEPS, "")
    OP(dense_steps_backward_input, "dx= dy W", STEPS, "")
    OP(dense_steps_backward_weight, "dW= dy x tiles", STEPS, "")
    OP(dense_steps_backward_bias, "db= dy", STEPS, "")
    FLOAT_OP(dense_steps_forward_bfloat16, "y= x packed_W b?", STEPS, "")
    FLOAT_OP(dense_steps_backward_input_bfloat16, "dx= dy paired_W", STEPS, "")
    FLOAT_OP(dense_steps_backward_weight_bfloat16, "dW= dy x tiles", "units inputs row_pairs unused steps", "")
    OP(dense_steps_forward_blas, "y= x W b? gemm", STEPS, "")
    OP(dense_steps_backward_input_blas, "dx= dy W gemm", STEPS, "")
    OP(dense_steps_backward_weight_blas, "dW= dy x tiles gemm", STEPS, "")

    /* activations */
    ACTIVATION(sigmoid, "")
    ACTIVATION(tanh, "")
    ACTIVATION(relu, "")
    ACTIVATION(leaky_relu, "slope")
    ACTIVATION(elu, "alpha")
    ACTIVATION(softplus, "")
    ACTIVATION(gelu, "")
    ACTIVATION(gelu_tanh, "")
    ACTIVATION(silu, "")
    ACTIVATION(selu, "")
    ACTIVATION(mish, "")
    ACTIVATION(softmax, "")
    ACTIVATION(identity, "")
    OP(activity_l1_forward, "h= penalty= z weight?", "width add", "strength")
    OP(activity_l1_backward, "dz= dh z weight?", "width", "strength")

    /* one factor per feature */
    OP(scale_forward, "y= x weight", "features", "")
    OP(scale_backward, "dx=? products= dy x weight", "features", "")
    OP(scale_tangent_forward, "ty= tx? x weight v", "features", "")
    OP(scale_tangent_backward, "tdx=? tproducts= tdy dy tx? x weight v", "features", "")

    /* chosen columns */
    OP(select_forward, "y= x columns", "width inputs", "")
    OP(select_backward, "dx= dy columns", "width inputs", "")

    /* noise */
    PAIR(dropout, "width " STREAM, "scale threshold")
    PAIR(scaled, "width", "factor")
    PAIR(gaussian_dropout, "width " STREAM, "stddev")
    OP(gaussian_noise_forward, "y= x", "width " STREAM, "stddev")
    OP(shakeout_forward, "packed_W=? noisy_W= W tiles", "units inputs " STREAM, "scale threshold c rate")
    OP(shakeout_backward, "dW= tiles W dy", "units inputs " STREAM, "scale threshold c rate")
    OP(whiteout_multiplicative_forward, "packed_W=? noisy_W= W tiles", "units inputs " STREAM, "variance power lam")
    OP(whiteout_multiplicative_backward, "dW= tiles W dy", "units inputs " STREAM, "variance power lam")
    OP(whiteout_additive_forward, "noisy_b= b? W", "units inputs " STREAM " piece_units", "variance power lam")
    OP(whiteout_additive_backward, "dW= tiles W dy", "units inputs " STREAM, "variance power lam")

    /* normalization */
    OP(batch_norm_sums, "partials= counts= x", NORM, "")
    OP(batch_norm_statistics, "table= batch= partials counts weight bias place?", NORM, "eps")
    OP(batch_renorm_statistics, "table= batch= partials counts weight bias place? running", NORM " r_max_column d_max_column",
       "eps r_max d_max")
    OP(batch_norm_constants, "table= running weight bias place?", NORM, "eps")
    OP(batch_norm_track, "running= batches= batch place?", NORM, "momentum unbiased eps")
    OP(batch_renorm_track, "running= batches= batch place?", NORM, "momentum unbiased eps")
    OP(batch_norm_forward, "y= x table", NORM, "")
    OP(batch_norm_relu_forward, "y= x table", NORM, "")
    OP(batch_norm_backward_sums, "partials= counts= dy x table", NORM, "")
    OP(batch_norm_relu_backward_sums, "partials= counts= dy x table", NORM, "")
    OP(batch_norm_backward_statistics, "dweight= dbias= factors= partials counts table place?", NORM " constant", "")
    OP(batch_norm_backward, "dx= dy x table factors", NORM, "")
    OP(batch_norm_relu_backward, "dx= dy x table factors", NORM, "")
    OP(group_norm_forward, "y= statistics= x weight bias", GROUPS, "eps")
    OP(rms_norm_forward, "y= statistics= x weight bias", GROUPS, "eps")
    OP(group_norm_backward, "dx= partials= counts= dy x statistics weight", GROUPS, "")
    OP(rms_norm_backward, "dx= partials= counts= dy x statistics weight", GROUPS, "")
    OP(group_norm_backward_weight, "dweight= dbias= partials counts", "places", "")
    OP(weight_norm_weight, "W= direction length tiles packed_W=?", "units inputs", "")
    OP(weight_norm_backward, "ddirection= dlength= dW direction length tiles", "units inputs", "")

    /* losses, and whether examples are classified correctly */
    LOSS(squared_error, "")
    LOSS(mean_squared_error, "")
    LOSS(mean_absolute_error, "")
    LOSS(huber, "delta")
    OP(quantile, "loss= dy=? y d weight? q", "width", "")
    OP(quantile_tangent, "tdy= ty y d weight?", "width", "")
    LOSS(poisson, "")
    LOSS(hinge, "")
    LOSS(binary_cross_entropy, "")
    LOSS(kl_divergence, "")
    LOSS(sigmoid_cross_entropy, "smoothing")
    LOSS(softmax_cross_entropy, "smoothing")
    LOSS(softmax_cross_entropy_labels, "smoothing")
    OP(accuracy_labels, "correct= y labels", "width", "")
    OP(accuracy_targets, "correct= y d", "width", "")
    OP(accuracy_binary, "correct= y d", "width", "threshold middle")

    /* tangents: Hessian and Gauss-Newton products */
    OP(load_direction, "v= V", "n stretch", "")
    OP(add_product, "P= p", "n stretch", "")
    OP(dense_tangent_forward, "ty= tx x packed_W packed_V v_b?", "units inputs", "")
    OP(dense_tangent_backward_input, "tdx= tdy dy W V", "units inputs", "")
    OP(dense_tangent_backward_weight, "tdW= tdy dy x tx tiles", "units inputs", "")
    OP(dense_steps_tangent_forward, "ty= tx x packed_W packed_V v_b?", STEPS, "")
    OP(dense_steps_tangent_backward_input, "tdx= tdy dy W V", STEPS, "")
    OP(dense_steps_tangent_backward_weight, "tdW= tdy dy x tx tiles", STEPS, "")
    OP(simple_rnn_tangent_forward, "ty= tnew= tprevious= product= new previous packed_U packed_V mask?", CELL, "rate")
    OP(simple_rnn_tangent_backward, "tdelta= carry= tdy g delta new tnew U V mask?", CELL, "rate")
    OP(gru_tangent_forward, "ty= tgates= tq= tprevious= product= gates q previous packed_U packed_V v_c mask?", CELL, "rate")
    OP(gru_tangent_backward,
       "tdelta= trecurrent_delta= carry= tdy g recurrent_delta gates q previous tgates tq tprevious U V mask?", CELL, "rate")
    OP(gru_reset_before_tangent_forward,
       "ty= tgates= treset= tprevious= product= gates reset previous packed_U packed_U_n packed_V packed_V_n mask?", CELL, "rate")
    OP(gru_reset_before_tangent_backward,
       "tdelta= tdelta_rz= tdelta_n= carry= tdy g delta_rz delta_n gates previous tgates tprevious U V mask?", CELL, "rate")
    OP(batch_norm_tangent_statistics, "tangents= partials counts table weight v_weight v_bias place?", NORM " constant", "")
    OP(batch_norm_tangent_forward, "ty= tx x table tangents", NORM, "")
    OP(batch_norm_tangent_backward_sums, "partials= tdy dy tx x table tangents", NORM, "")
    OP(batch_norm_tangent_backward_statistics,
       "tdweight= tdbias= tangents= partials plain_partials counts table place?", NORM " constant", "")
    OP(batch_norm_tangent_backward, "tdx= tdy dy tx x table tangents", NORM, "")
    OP(group_norm_tangent_forward, "ty= tx x statistics weight v_weight v_bias", GROUPS, "")
    OP(rms_norm_tangent_forward, "ty= tx x statistics weight v_weight v_bias", GROUPS, "")
    OP(group_norm_tangent_backward, "tdx= tdy dy tx x statistics weight v_weight", GROUPS, "")
    OP(rms_norm_tangent_backward, "tdx= tdy dy tx x statistics weight v_weight", GROUPS, "")
    OP(group_norm_tangent_backward_weight, "partials= tdy dy tx x statistics", GROUPS, "")
    OP(rms_norm_tangent_backward_weight, "partials= tdy dy tx x statistics", GROUPS, "")
    OP(weight_norm_tangent_weight, "tW= direction length tdirection tlength tiles packed_tW=", "units inputs", "")
    OP(weight_norm_tangent_backward, "tddirection= tdlength= tdW dW direction length tdirection tlength tiles", "units inputs", "")

    /* gradients before the update, parameters after it */
    OVER_TILES(accumulate, "sum= g=", "", "")
    OVER_TILES(join_parts, "nodes= g= plan", "part_rows first_part", "")
    OP(sum_nodes, "g= nodes= plan", "stretch", "")
    OVER_TILES(penalty, "g= theta penalties= strengths left?", "", "")
    OVER_TILES(clip_value, "g= squares= acted=", "", "limit")
    OVER_TILES(square_sum, "squares= g", "", "")
    OP(clip_factor, "factors= squares first_tiles acted=? g? large_norm=? " TILE_TABLE "?", "groups", "limit")
    OVER_TILES(scale_gradient, "g= factors", "", "")
    OVER_TILES(gradient_noise, "g=", "seed place column", "")
    OVER_TILES(shrink, "theta= ahead=? strengths v?", "lr_column mu_column", "")
    OVER_TILES(project_norm, "theta= ahead=? v?", "mu_column", "lower upper")
    OVER_TILES(project_non_negative, "theta= ahead=? v?", "mu_column", "lower upper")
    OVER_TILES(average, "average= theta", "column", "")
    OVER_TILES(decay, "theta=", "column", "")

    /* sums over the paths of a network */
    OP(path_forward, "z= W b? z_before", "units inputs piece", "")
    OP(path_backward, "gamma= gamma_b=? d_before=? W d z_before", "units inputs piece", "")

    /* linear models by single examples */
    OP(online_csr, ONLINE " values columns starts", "classes inputs kind rule", RULES)
    OP(online_rows, ONLINE " data", "classes inputs kind rule", RULES)
    OP(online_settle, "W= average=? state=", "classes inputs", "")

    /* optimizers */
    UPDATE(sgd_update, "", 1)
    UPDATE(path_sgd_update, " gamma", 1)
    UPDATE(momentum_update, " v=", 2)
    UPDATE(momentum_outside_update, " v=", 2)
    UPDATE(nesterov_enter, " v= origin=", 2)
    UPDATE(nesterov_update, " v= origin=", 3)
    UPDATE(nesterov_leave, " v= origin=", 0)
    UPDATE(adagrad_update, " r=", 2)
    UPDATE(adagrad_inside_update, " r=", 2)
    UPDATE(rmsprop_update, " r=", 3)
    UPDATE(rmsprop_inside_update, " r=", 3)
    UPDATE(rmsprop_momentum_update, " r= v=", 4)
    UPDATE(rmsprop_momentum_inside_update, " r= v=", 4)
    UPDATE(rmsprop_centered_update, " r= a=", 3)
    UPDATE(rmsprop_centered_inside_update, " r= a=", 3)
    UPDATE(rmsprop_centered_momentum_update, " r= a= v=", 4)
    UPDATE(rmsprop_centered_momentum_inside_update, " r= a= v=", 4)
    UPDATE(adadelta_update, " r= d=", 3)
    UPDATE(adadelta_outside_update, " r= d=", 3)
    UPDATE(ftrl_update, " z= n=", 4)
    UPDATE(adam_update, " m= v=", 4)
    UPDATE(adam_inside_update, " m= v=", 4)
    UPDATE(adamw_update, " m= v=", 5)
    UPDATE(adamw_inside_update, " m= v=", 5)
    UPDATE(amsgrad_update, " m= v= top=", 4)
    UPDATE(amsgrad_inside_update, " m= v= top=", 4)
    UPDATE(adamax_update, " m= u=", 4)
    UPDATE(nadam_update, " m= v=", 5)
    UPDATE(lion_update, " m=", 4)
    UPDATE(rprop_update, " previous= size=", 4)
    UPDATE(delta_bar_delta_update, " mean= eta=", 3)
    {NULL, {NULL, NULL}, NULL, NULL, NULL, 0}
};
#undef READING
#undef OP
#undef FLOAT_OP
#undef TILE_TABLE
#undef OVER_TILES
#undef ACTIVATION
#undef LOSS
#undef PAIR
#undef UPDATE
#undef STREAM
#undef STEPS
#undef CELL
#undef NORM
#undef GROUPS
#undef ONLINE
#undef RULES
